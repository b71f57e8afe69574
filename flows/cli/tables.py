"""How tables, sizes and summaries are printed."""

from __future__ import annotations

from rich.console import Console, RenderableType

from dualvla_core.params import Summary


def print_wide(table: RenderableType) -> None:
    """Print as wide as the terminal; where there is none, wide enough for keys to stay whole."""
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


def human_size(size: float) -> str:
    """Bytes in words: 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def summary_line(summary: Summary) -> str:
    """An artifact's scalars in one line, to four digits; `dualvla artifacts show` has all of them."""
    return ", ".join(
        f"{label}={value:.4g}" if isinstance(value, float) else f"{label}={value}" for label, value in summary.items()
    )
