"""The conclusions: what a board says, in a few sentences for someone who has never seen it."""

from collections.abc import Sequence

from fmbench.leaderboard.board import Board
from fmbench.leaderboard.page.board_models import BoardModel, devices_of
from fmbench.leaderboard.page.text import GAP, count, listing, whole
from fmbench.leaderboard.statistics import NEW_IMAGES, SEEDS_FOR_RANKS, SEEDS_FOR_T
from fmbench.protocol import TRAINING_IMAGES, Protocol
from fmbench.wording import duration, percent

MOST_NAMES = 4

Sentence = tuple[BoardModel | str, ...]
"""Words, and between them models, whose names the page sets apart."""


def rules_in_words(protocol: Protocol) -> str:
    """What all models of a protocol have in common, in a sentence."""
    images = protocol.final.train_images or TRAINING_IMAGES
    return (
        f"All models were trained on the same {images:,} images for "
        f"{count(protocol.final.epochs, 'epoch')} under the same rules, "
        "and scored on test images that none was trained on."
    )


def conclusions(board: Board, seeds: int, models: Sequence[BoardModel]) -> tuple[Sentence, ...]:
    """Which model is best, whether the second differs from it, and what each costs.

    `seeds` is the number the protocol asks for; models are in the board's order.
    """
    if not models:
        return ((f"No model has been run under {board.protocol} yet.",),)
    scored = [model for model in models if model.row.accuracy is not None]
    if not scored:
        return (
            (f"No accuracy yet: none of {count(len(models), 'model')} has a good run.",),
            ("The table says what went wrong.",),
        )
    ranked = [model for model in scored if model.row.rank_best is not None]
    leaders = ranked or [model for model in scored if model.row.complete] or scored
    sentences = (
        _of_ranked(board, seeds, ranked)
        if ranked
        else _of_unranked(seeds, leaders, alone=len(scored) == 1)
    )
    best = max(scored, key=lambda model: model.accuracy)
    if best.accuracy > leaders[0].accuracy:
        lack = "its predictions cannot be read" if best.row.complete else "not with every seed"
        unranked = ", so it is not ranked" if ranked else ""
        sentences.append((best, f" reached {_percent(best)}, but {lack}{unranked}."))
    return (*sentences, _cost(leaders[:2], scored))


def _of_ranked(board: Board, seeds: int, ranked: Sequence[BoardModel]) -> list[Sentence]:
    first = ranked[0]
    new = board.target == NEW_IMAGES
    where = "new images" if new else "these test images"
    share = _with_margin(first) if new else _percent(first)
    says = f"{share} on {where}"
    if len(ranked) == 1:
        return [(first, f" reaches {says}. It is the only model ranked so far.")]
    second = ranked[1]
    gap = f"{percent(first.accuracy - second.accuracy)}{GAP}percentage points"
    # In the board's order only the first can be surely better than the second.
    second_differs = (second.row.rank_best or 0) > 1
    seeds_tell = f", as far as {seeds} seeds tell" if seeds < SEEDS_FOR_T else ""
    chance = f"chance explains{seeds_tell}"
    if first.row.rank_worst == 1:
        others = count(len(ranked) - 1, "other")
        more = "" if len(ranked) == 2 else f", beyond chance above {others}{seeds_tell}"
        return [
            (first, f" is best: {says}{more}."),
            ("Second is ", second, f" with {_percent(second)}, {gap} less, more than {chance}."),
        ]
    if second_differs:
        opening = f" has the highest mean accuracy, {says}. Second is "
        less = f" with {_percent(second)}, less by more than {chance}."
        return [(first, opening, second, less), *_open_first_place(ranked)]
    opening = f" has the highest mean accuracy, {says}, but the second, "
    return [
        (first, opening, second, f" with {_percent(second)}, does not differ beyond chance."),
        *_open_first_place(ranked),
    ]


def _open_first_place(ranked: Sequence[BoardModel]) -> list[Sentence]:
    """Who else may be best, where the sentence before does not say it."""
    able = [model for model in ranked if model.row.rank_best == 1]
    if len(able) < 2 or able == list(ranked[:2]):
        return []
    if len(able) > MOST_NAMES:
        return [(f"The runs leave open which of {len(able)} models is best.",)]
    return [("The runs leave open which is best of ", *_names(able), ".")]


def _of_unranked(seeds: int, leaders: Sequence[BoardModel], *, alone: bool) -> list[Sentence]:
    first, rest = leaders[0], leaders[1:]
    only = "model with a score so far" if alone else "model whose seeds all have a score"
    best: Sentence = (first, f" is the only {only}, {_percent(first)}.")
    if rest:
        opening = f" has the highest accuracy, {_with_margin(first)}, before "
        best = (first, opening, rest[0], f" with {_with_margin(rest[0])}.")
    if seeds >= SEEDS_FOR_RANKS:
        return [best, (f"No model has readable runs of all {seeds} seeds, so none is ranked.",)]
    each = "one seed" if seeds == 1 else f"{seeds} seeds"
    order = (
        f"Each model ran with {each} only, so nothing may be concluded about their order: "
        "other seeds may reverse it."
    )
    return [best, (order,)]


def _cost(leaders: Sequence[BoardModel], scored: Sequence[BoardModel]) -> Sentence:
    devices = devices_of(leaders)
    parts: list[BoardModel | str] = []
    if len(devices) != 1:
        for model in leaders:
            each = [f"{whole(duration(took))} on {device}" for device, took in model.times.items()]
            parts += [" and " if parts else "", model, f" trains in {listing(each)}"]
        return (*parts, "; times on different devices do not compare.")
    (device,) = devices
    for model in leaders:
        parts += [" and " if parts else "", f"{whole(duration(model.times[device]))} for ", model]
    opening = ("Training takes ", *parts, f" on {whole(device)}")
    there = [model for model in scored if device in model.times]
    quickest = min(there, key=lambda model: model.times[device])
    if quickest in leaders:
        return (*opening, ".")
    took = f"takes {whole(duration(quickest.times[device]))} and reaches {_percent(quickest)}"
    return (*opening, "; the quickest, ", quickest, f", {took}.")


def _names(models: Sequence[BoardModel]) -> list[BoardModel | str]:
    parts: list[BoardModel | str] = []
    for number, model in enumerate(models):
        last = number == len(models) - 1
        parts += ["" if not number else " and " if last else ", ", model]
    return parts


def _percent(model: BoardModel) -> str:
    return f"{percent(model.accuracy)}{GAP}%"


def _with_margin(model: BoardModel) -> str:
    if model.row.margin is None:
        return _percent(model)
    return f"{percent(model.accuracy)}{GAP}±{GAP}{percent(model.row.margin)}{GAP}%"
