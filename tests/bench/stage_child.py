"""A stage of the platform in its real shell. Arguments: Kafka settings as JSON, the stage, the topics' prefix, the state's folder."""

import json
import sys
from pathlib import Path

from infra.config import parse
from infra.shell import run_stage
from pipelines.workers import collect_rarely, stage_of

CONFIG = {"venues": {"sim": {"adapter": "binance", "instruments": ["sim:BTC-USDT", "sim:ETH-USDT", "sim:SOL-USDT"]}}}


def main() -> None:
    collect_rarely()
    conf, stage, prefix, state_dir = json.loads(sys.argv[1]), *sys.argv[2:5]
    config = parse(CONFIG)
    run_stage(
        stage_of(stage, config),
        kafka=conf,
        prefix=prefix,
        subscriptions=config.subscriptions(),
        state_dir=Path(state_dir),
        config_digest="bench",
        commit_interval_s=1.0,
    )


if __name__ == "__main__":
    main()
