"""The conclusions: what a board says, in a few sentences for someone who has never seen it."""

from collections.abc import Sequence
from dataclasses import dataclass

from fmbench.leaderboard.board import Board
from fmbench.leaderboard.page.board_models import BoardModel
from fmbench.leaderboard.page.text import GAP, count, listing, times
from fmbench.leaderboard.statistics import NEW_IMAGES, SEEDS_FOR_RANKS, SEEDS_FOR_T
from fmbench.protocol import TRAINING_IMAGES, Protocol
from fmbench.wording import duration, percent

MOST_NAMES = 4


@dataclass(frozen=True)
class Phrase:
    """A piece of a sentence; names of models are set apart."""

    text: str
    is_name: bool = False


Sentence = tuple[Phrase, ...]


def rules_in_words(protocol: Protocol) -> str:
    """What every model of a protocol went through, for someone new."""
    images = protocol.final.train_images or TRAINING_IMAGES
    return (
        f"Every model here learned the same {images:,} pictures of clothing, "
        f"each seen {times(protocol.final.epochs)}, under the same rules, and then "
        "classified test pictures that no model learned from."
    )


def conclusions(board: Board, seeds: int, models: Sequence[BoardModel]) -> tuple[Sentence, ...]:
    """Which model is best, whether the second differs from it, and what each costs.

    `seeds` is the protocol's number of them; models are in the board's order.
    """
    if not models:
        return (_said(f"No model has been run under {board.protocol} yet."),)
    scored = [model for model in models if model.row.accuracy is not None]
    if not scored:
        return (
            _said(f"No accuracy yet: none of {count(len(models), 'model')} has a good run."),
            _said("The table says what went wrong."),
        )
    ranked = [model for model in scored if model.row.rank_best is not None]
    leaders = ranked or [model for model in scored if model.row.complete] or scored
    sentences = (
        _of_ranked(board, seeds, ranked)
        if ranked
        else _of_unranked(seeds, leaders, alone=len(scored) == 1)
    )
    higher = [one for one in scored if _accuracy(one) > _accuracy(leaders[0])]
    if higher:
        best = max(higher, key=_accuracy)
        lack = "its predictions cannot be read" if best.row.complete else "not with every seed"
        unranked = ", so it is not ranked" if ranked else ""
        sentences.append(_said(best, f" reached {_percent(best)}, but {lack}{unranked}."))
    return (*sentences, _cost(leaders[:2], scored))


def _of_ranked(board: Board, seeds: int, ranked: Sequence[BoardModel]) -> list[Sentence]:
    first = ranked[0]
    new = board.target == NEW_IMAGES
    where = "new pictures" if new else "these test pictures"
    share = _with_margin(first) if new else _percent(first)
    says = f"names {share} of {where} right"
    if len(ranked) == 1:
        return [_said(first, f" {says}. It is the only model ranked so far.")]
    second = ranked[1]
    gap = f"{percent(_accuracy(first) - _accuracy(second))}{GAP}percentage points"
    # In the board's order only the first can be surely better than the second.
    open_place = _open_first_place(ranked)
    second_differs = (second.row.rank_best or 0) > 1
    seeds_tell = f", as far as {seeds} seeds tell" if _few(seeds) else ""
    chance = f"chance explains{seeds_tell}"
    if first.row.rank_worst == 1:
        others = count(len(ranked) - 1, "other")
        more = "" if len(ranked) == 2 else f", surely more than {others}{seeds_tell}"
        return [
            _said(first, f" is best: it {says}{more}."),
            _said(
                "Second is ", second, f" with {_percent(second)}, {gap} less, more than {chance}."
            ),
        ]
    if second_differs:
        opening = f" has the highest mean accuracy: it {says}. Second is "
        less = f" with {_percent(second)}, less by more than {chance}."
        return [_said(first, opening, second, less), *open_place]
    opening = f" has the highest mean accuracy, {share} on {where}, but the second, "
    return [
        _said(first, opening, second, f" with {_percent(second)}, does not differ beyond chance."),
        *open_place,
    ]


def _open_first_place(ranked: Sequence[BoardModel]) -> list[Sentence]:
    """Who else may be best, where the sentence before does not say it."""
    able = [model for model in ranked if model.row.rank_best == 1]
    if len(able) < 2 or able == list(ranked[:2]):
        return []
    if len(able) > MOST_NAMES:
        return [_said(f"The runs leave open which of {len(able)} models is best.")]
    return [_said("The runs leave open which is best of ", *_names(able), ".")]


def _of_unranked(seeds: int, leaders: Sequence[BoardModel], *, alone: bool) -> list[Sentence]:
    first, rest = leaders[0], leaders[1:]
    only = "model with a score so far" if alone else "model whose seeds all have a score"
    sentences = [_said(first, f" is the only {only}, {_percent(first)}.")]
    if rest:
        opening = f" has the highest accuracy, {_with_margin(first)}, before "
        sentences = [_said(first, opening, rest[0], f" with {_with_margin(rest[0])}.")]
    if seeds < SEEDS_FOR_RANKS:
        each = "one seed" if seeds == 1 else f"{seeds} seeds"
        return [
            *sentences,
            _said(
                f"Each model ran with {each} only, so nothing may be concluded about their order: "
                "other seeds may reverse it."
            ),
        ]
    return [
        *sentences,
        _said("No model has readable runs of all ", f"{seeds} seeds, so none is ranked."),
    ]


def _cost(leaders: Sequence[BoardModel], scored: Sequence[BoardModel]) -> Sentence:
    devices = {device for model in leaders for device, _ in model.times}
    if len(devices) != 1:
        parts: list[BoardModel | str] = []
        for model in leaders:
            each = [f"{duration(seconds)} on {device}" for device, seconds in model.times]
            parts += [" and " if parts else "", model, f" trains in {listing(each)}"]
        return _said(*parts, "; times on different devices do not compare.")
    (device,) = devices
    took = [(model, _time(model, device)) for model in leaders]
    parts = []
    for model, seconds in took:
        parts += [" and " if parts else "", f"{duration(seconds)} for ", model]
    opening = ("Training takes ", *parts, f" on {device}")
    quickest = min(
        (model for model in scored if device in dict(model.times)),
        key=lambda model: _time(model, device),
    )
    if quickest in leaders:
        return _said(*opening, ".")
    spent = duration(_time(quickest, device))
    return _said(
        *opening, "; the quickest, ", quickest, f", takes {spent} and reaches {_percent(quickest)}."
    )


def _time(model: BoardModel, device: str) -> float:
    return dict(model.times)[device]


def _few(seeds: int) -> bool:
    return seeds < SEEDS_FOR_T


def _names(models: Sequence[BoardModel]) -> list[BoardModel | str]:
    parts: list[BoardModel | str] = []
    for number, model in enumerate(models):
        last = number == len(models) - 1
        parts += ["" if not number else " and " if last else ", ", model]
    return parts


def _said(*parts: BoardModel | str) -> Sentence:
    return tuple(
        Phrase(part.name, is_name=True) if isinstance(part, BoardModel) else Phrase(part)
        for part in parts
    )


def _accuracy(model: BoardModel) -> float:
    return model.row.accuracy or 0.0


def _percent(model: BoardModel) -> str:
    return f"{percent(_accuracy(model))}{GAP}%"


def _with_margin(model: BoardModel) -> str:
    if model.margin is None:
        return _percent(model)
    return f"{percent(_accuracy(model))}{GAP}±{GAP}{percent(model.margin)}{GAP}%"
