"""Write every dashboard to `dashboards/<name>.json`."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from infra.grafana.boards import all_boards

FOLDER = Path(__file__).parent / "dashboards"


def rendered() -> dict[str, str]:
    """Each file's text, by its name."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {f"{name}.json": encoder.encode(built.build()) + "\n" for name, built in all_boards().items()}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in rendered().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
