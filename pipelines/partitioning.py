"""Which partition a key is written to: murmur2, as our producers have it (``infra.kafka.PRODUCER``), without a broker."""

from functools import lru_cache

MASK = 0xFFFFFFFF
M, R, SEED = 0x5BD1E995, 24, 0x9747B28C


@lru_cache(65536)
def partition_of(key: bytes, partitions: int) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """https://github.com/apache/kafka/blob/trunk/clients/src/main/java/org/apache/kafka/common/utils/Utils.java"""
    h = (SEED ^ len(data)) & MASK
    whole = len(data) - len(data) % 4
    for at in range(0, whole, 4):
        k = (int.from_bytes(data[at : at + 4], "little") * M) & MASK
        k = ((k ^ (k >> R)) * M) & MASK
        h = ((h * M) & MASK) ^ k
    rest = data[whole:]
    if rest:
        h = ((h ^ int.from_bytes(rest, "little")) * M) & MASK
    h = ((h ^ (h >> 13)) * M) & MASK
    return h ^ (h >> 15)
