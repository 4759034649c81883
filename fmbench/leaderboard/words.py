"""Numbers and rows as people read them."""

from fmbench.leaderboard.board import Row

UNITS = ("", "k", "M", "G", "T")


def readable(row: Row) -> dict[str, str]:
    """A row as people read it: column name to cell, absent values empty."""
    return {
        "model": row.model,
        "plugin": f"{row.distribution} {row.version}",
        "accuracy, %": accuracy(row),
        "n": "" if row.test_images is None else f"{row.test_images:,}",
        "log-loss": "" if row.log_loss is None else f"{row.log_loss:.3f}",
        "parameters": short(row.parameters),
        "FLOPs": short(row.forward_flops),
        "train": duration(row.train_seconds),
        "images/s": short(row.train_images_per_second),
        "status": row.status,
    }


def accuracy(row: Row) -> str:
    """Mean accuracy in per cent with its margin for new images."""
    if row.accuracy is None or row.accuracy_image_margin is None:
        return ""
    return f"{100 * row.accuracy:.2f} ± {100 * row.accuracy_image_margin:.2f}"


def short(number: float | None) -> str:
    """Three significant digits with k, M, G or T."""
    if number is None:
        return ""
    power = 0
    while power < len(UNITS) - 1 and abs(number) / 1000**power >= 999.5:
        power += 1
    size = number / 1000**power
    digits = 0 if size >= 99.95 or (not power and size == int(size)) else 1 if size >= 9.995 else 2
    return f"{size:.{digits}f} {UNITS[power]}".rstrip()


def duration(seconds: float | None) -> str:
    """Seconds as people say them: 0.12 s, 34 s, 3 min 20 s, 2 h 05 min."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
