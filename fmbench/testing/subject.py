"""A model that is being checked: the networks it builds, and what is found out by running them."""

from collections.abc import Callable, Sequence

import psutil
import torch
from torch import Tensor, nn

from fmbench.contract import Model
from fmbench.protocol import DeviceRules, Protocol
from fmbench.testing import networks
from fmbench.testing.estimate import Estimate, estimate
from fmbench.testing.facts import Facts, Fault, MissingFactError, SkipError, fact
from fmbench.testing.images import synthetic_images
from fmbench.testing.importing import Imported, import_alone
from fmbench.testing.networks import Built, Trial, checked
from fmbench.testing.surroundings import random_streams
from fmbench.testing.workplace import Workplace
from fmbench.training import departures, devices
from fmbench.training.builder import Builder
from fmbench.training.hidden import attributes

SEED, SECOND_SEED, THIRD_SEED = 1, 2, 3
BATCH = 8
LARGEST_BATCH = 64
TRUE_CLASSES = torch.arange(BATCH) % 10


class Subject(Facts):
    """Everything that laws ask about a model, each found out once, by the model's own code.

    load:   imports the plugin and returns the model.
    value:  what an entry point names, to import it alone; empty when there is none.
    memory: bytes that this machine has.

    Each network is built and run as a worker would, on the CPU, in float32, with synthetic images.
    Facts that need the same network share it: of a large one two are held, and a third is trained.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Model],
        protocol: Protocol,
        *,
        value: str = "",
        memory: int | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.protocol = protocol
        self.memory = memory or psutil.virtual_memory().total
        self._load, self._value = load, value
        self._rules_given = protocol.devices.get("cpu", DeviceRules(precision="float32"))
        self._rules = self._rules_given
        self.place = Workplace()
        self.flips: list[str] = []

    def release(self) -> None:
        """Give back memory and the folder; facts can be found out again, files cannot be kept."""
        self.drop()
        self.place.clear()

    @fact("discovery")
    def model(self) -> Model:
        """The model, as its plugin offers it when it is imported here."""
        with self.place.during("import"):
            return self._load()

    @fact("builds")
    def builder(self) -> Builder:
        """What builds its networks."""
        return Builder(self.model)

    @fact("light-import")
    def imported(self) -> Imported:
        """What importing the plugin alone leaves behind."""
        if not self._value:
            raise SkipError("it does not come from an entry point")
        return import_alone(self._value, self.place.folder)

    @fact("builds")
    def fresh(self) -> Built:
        """A network from the first seed, which is never trained."""
        built = self._build(SEED)
        self._rules, _ = departures.avoid_known_faults(built.network, self._rules_given)
        devices.place(built.network, torch.device("cpu"), self._rules)
        return built

    @fact("builds")
    def departure(self) -> str:
        """What a worker does otherwise than the protocol says, found in an unwatched fork."""
        given = self.fresh.network, self._batch_as_trained, self._rules_given
        try:
            return departures.settle(*given)[1]
        except departures.WrongGradientError as error:
            return f"runs fail here: {error}"

    @fact("builds")
    def twin(self) -> tuple[Built, str]:
        """A second network from the first seed, and where it differed from the first."""
        fresh, twin = self.fresh, self._build(SEED)
        return twin, networks.difference(fresh.network, twin.network)

    @fact("builds")
    def stranger(self) -> tuple[Built, bool]:
        """A network from the second seed, and whether its parameters were those of the first."""
        stranger = self._build(SECOND_SEED)
        return stranger, networks.same_parameters(self.fresh.network, stranger.network)

    @fact("output")
    def logits(self) -> Tensor:
        """What a fresh network answers in evaluation mode: floats (BATCH, classes), finite."""
        return checked(self._answer(self.fresh.network, range(BATCH)), BATCH)

    @fact("output")
    def training_logits(self) -> Tensor:
        """What a fresh network answers in training mode, with the graph behind it."""
        twin, _ = self.twin
        self._use_once(twin)
        return checked(self._answer_in_training(twin.network), BATCH)

    @fact("repeats")
    def repeated(self) -> bool:
        """Whether another network from the first seed answers alike in training mode."""
        expected = self.training_logits
        again = self._build(SEED).network
        with torch.no_grad():
            return torch.equal(expected, self._answer_in_training(again))

    @fact("autocast")
    def mixed(self) -> bool:
        """That another network answers as it should under bfloat16 autocast, in both modes."""
        _ = self.training_logits
        network = self._build(SEED).network
        rules = DeviceRules(precision="bfloat16")
        with devices.autocast(torch.device("cpu"), rules):
            checked(self._answer(network, range(BATCH)), BATCH)
        with devices.autocast(
            torch.device("cpu"), rules
        ):  # anew: it keeps weights cast without a gradient
            checked(self._answer_in_training(network), BATCH)
        return True

    @fact("batch-of-one")
    def single(self) -> Tensor:
        """What a fresh network answers to a single image."""
        _ = self.logits
        return checked(self._answer(self.fresh.network, range(1)), 1)

    @fact("gradients")
    def gradients(self) -> bool:
        """That the loss has a finite gradient."""
        networks.check_gradients(self.twin[0].network, self.training_logits, TRUE_CLASSES)
        return True

    @fact("learns")
    def trial(self) -> Trial:
        """What twenty steps make of the twin, which stays trained."""
        _ = self.gradients
        return self._train(self.twin[0], SEED)

    @fact("learns")
    def second_trial(self) -> Trial:
        """What twenty steps make of a network from the second seed."""
        _ = self.trial
        trial = self._train(self.stranger[0], SECOND_SEED)
        self.stranger[0].network = nn.Module()  # it may be large, and has served
        return trial

    @fact("learns")
    def third_trial(self) -> Trial:
        """What twenty steps make of a network from the third seed."""
        _ = self.trial
        return self._train(self._build(THIRD_SEED), THIRD_SEED)

    @fact("eval-deterministic")
    def settled(self) -> Tensor:
        """What the trained twin answers in evaluation mode, twice the same."""
        _ = self.logits, self.trial
        first, second = (self._answer(self.twin[0].network, range(BATCH)) for _ in range(2))
        if not torch.equal(first, second):
            raise Fault(
                f"the same images got other logits, {networks.distance(first, second):.2g} apart",
                hint="pass training=self.training to functional.dropout, or use nn.Dropout",
            )
        return first

    @fact("batch-mates")
    def influence(self) -> float:
        """How far logits move when the other images of a batch are others, or none."""
        half = BATCH // 2
        others = [*range(half), *range(BATCH, BATCH + half)]
        network = self.twin[0].network
        return max(
            networks.distance(self.settled[:half], self._answer(network, index)[:half])
            for index in (others, range(half))
        )

    @fact("globals-untouched")
    def reseeded(self) -> list[str]:
        """Random streams that stand at the same place whatever seed they started from."""
        moments = {
            "build": (self.fresh.streams, self.stranger[0].streams),
            "training": (self.trial.streams, self.second_trial.streams),
            "evaluation": (self._streams_after(SEED), self._streams_after(SECOND_SEED)),
        }
        return [
            f"{moment} seeds {library}"
            for moment, (first, second) in moments.items()
            for library in first
            if first[library] == second[library]
        ]

    @fact("resumable")
    def unstorable(self) -> str:
        """What in the trained twin's state dict is not a tensor; empty when all is."""
        _ = self.trial
        state = self.twin[0].network.state_dict()
        return next((name for name, value in state.items() if not torch.is_tensor(value)), "")

    @fact("safetensors")
    def saved(self) -> bool:
        """That a checkpoint of the trained twin, read into the fresh network, gives the twin."""
        _ = self.trial
        fresh = self.fresh.network
        self.drop("fresh")  # it will be fresh no more
        return networks.pass_on(self.twin[0].network, fresh, self.place.folder / "checkpoint")

    @fact("cost")
    def estimate(self) -> Estimate:
        """What a run under the protocol is expected to cost here."""
        _ = self.single, self.trial
        if "cpu" not in self.protocol.devices:
            raise SkipError(f"{self.protocol.id} does not say how to train on a CPU")
        with self.place.during("training"):
            return estimate(
                self.twin[0].network,
                lambda count: self._images([number % BATCH for number in range(count)]),
                self.protocol,
            )

    def run_through(self) -> MissingFactError | None:
        """Import, build, evaluate and train, as far as that goes; what stops it, if anything."""
        try:
            _ = self.logits, self.single, self.second_trial, self.settled
        except MissingFactError as missing:
            return missing
        return None

    def _build(self, seed: int) -> Built:
        """Build a network as a worker does; raises as `Builder.build` does."""
        builder = self.builder
        self._seed(seed, "build")
        with self.place.during("build"):
            network = builder.build()
            streams = random_streams()
        devices.place(network, torch.device("cpu"), self._rules)
        return Built(network, attributes(network), streams)

    def _answer(self, network: nn.Module, index: Sequence[int]) -> Tensor:
        """The network's output for these images in evaluation mode; anything, if it is wrong."""
        network.eval()
        before = networks.modes(network)
        with torch.no_grad(), self.place.during("evaluation"):
            output: Tensor = network(self._images(index))
        self._note_flips("evaluation", before, network)
        return output

    def _use_once(self, built: Built) -> None:
        """Let a network answer once before what it is like is noted, as a worker does."""
        self._answer(built.network, range(1))
        built.attributes = attributes(built.network)

    def _answer_in_training(self, network: nn.Module) -> Tensor:
        """The network's output in training mode, from the same random streams each time."""
        network.train()
        before = networks.modes(network)
        self._seed(SEED, "training")
        with self.place.during("training"):
            output: Tensor = network(self._images(range(BATCH)))
        self._note_flips("training", before, network)
        return output

    def _train(self, built: Built, seed: int) -> Trial:
        if built is not self.twin[0]:  # which has answered in training already
            self._use_once(built)
        network = built.network
        network.train()
        before = networks.modes(network)
        trial = networks.train_on_one_batch(
            network,
            lambda: self._images(range(BATCH)),
            TRUE_CLASSES,
            attributes=built.attributes,
            seed=lambda: self._seed(seed, "training"),
            watched=lambda: self.place.during("training"),
        )
        self._note_flips("training", before, network)
        return trial

    def _batch_as_trained(self) -> tuple[Tensor, Tensor]:
        index = range(min(self.protocol.training.batch_size, LARGEST_BATCH))
        return self._images(index), torch.tensor(index) % len(TRUE_CLASSES)

    def _streams_after(self, seed: int) -> dict[str, str]:
        self._seed(seed, "evaluation")
        self._answer(self.twin[0].network, range(BATCH))
        return random_streams()

    def _images(self, index: Sequence[int]) -> Tensor:
        return synthetic_images(index, self.model.size, self.protocol.data, self._rules)

    def _seed(self, seed: int, moment: str) -> None:
        devices.seed_everything(self.protocol.id, seed, moment)

    def _note_flips(self, moment: str, before: dict[str, bool], network: nn.Module) -> None:
        after = networks.modes(network)
        flipped = [name for name in before if after.get(name, before[name]) != before[name]]
        self.flips += [f"{name} in {moment}" for name in flipped]
