"""What a worker tells Prometheus: counted where it happens, made into metrics when somebody asks."""

from infra.metrics.exposition import Exposition, Source, targets_of
from infra.metrics.histogram import LONG, SHORT, Histogram
from infra.metrics.words import Stated, Words

__all__ = ["LONG", "SHORT", "Exposition", "Histogram", "Source", "Stated", "Words", "targets_of"]
