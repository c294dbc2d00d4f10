"""Denoiser: the published losses, and one truth for training and sampling."""

import math

import pytest
import torch
from torch import Tensor, nn

from scdm.diffusion.denoiser import Denoiser
from scdm.diffusion.label_diffusion import LabelDiffusion, shipped_rates
from scdm.diffusion.parametrization import WEIGHTINGS
from scdm.diffusion.schedules import NoiseSchedule
from scdm.layouts.labels import LabelMap, instance_borders
from tests.parity import arrays, deviation, entries, facts, from_one_hot

CELEBA = LabelDiffusion(shipped_rates("celebamask_hq"))
LABEL_DIFFUSION = {
    "discrete_zero_classwise": CELEBA,
    "discrete_zero_uniform": LabelDiffusion(),
    None: None,
}


class Recorded(nn.Module):
    """A network that gives a known output and remembers what it was asked."""

    def __init__(self, output: Tensor):
        super().__init__()
        self.output = output

    def forward(self, x: Tensor, t: Tensor, labels: LabelMap) -> Tensor:
        self.x, self.t, self.labels = x, t, labels
        return self.output


@pytest.mark.parametrize("entry", entries("diffusion/training_losses"))
def test_losses_are_the_published_ones(entry: int) -> None:
    case, golden = facts("diffusion/training_losses")[entry], arrays("diffusion/training_losses", str(entry))
    network, steps = Recorded(golden["net_out"]), case["diffusion_steps"]
    diffusion = LABEL_DIFFUSION[case["label_schedule"]]
    schedule = NoiseSchedule.named("linear", steps)
    denoiser = Denoiser(
        network,
        schedule,
        diffusion and diffusion.respaced(schedule.timesteps),
        prediction="x0" if case["predict_xstart"] else "eps",
    )
    terms = denoiser.loss(
        golden["x_start"],
        from_one_hot(golden["y"], 19),
        golden["t"],
        golden["noise"],
        golden["u"][..., 0] if "u" in golden else None,
        objective="kl" if case["use_kl"] else "hybrid",
        vb_weight=steps / 1000 if case["rescale_learned_sigmas"] else 1,
    )

    assert torch.equal(network.labels.one_hot(torch.uint8), golden["net_y"])
    assert torch.equal(network.t, golden["net_t"])
    ours = {"loss": terms.total, "mse": terms.mse, "vb": terms.vb}
    # At t = 0 the bound is a likelihood: differences of nearly equal float32 probabilities far out in the tails.
    loose = (golden["t"] == 0).double()
    for name in case["terms"]:
        expected, value = golden[f"loss.{name}"].double(), ours[name]
        assert value is not None
        relative = torch.full_like(expected, 2e-4) if name == "mse" else 2e-4 + loose * (5e-2 - 2e-4)
        assert ((value.double() - expected).abs() - relative * expected.abs()).max() <= 1e-6, name


def test_training_and_sampling_show_the_network_the_same() -> None:
    """One image, one draw: the same noisy image, step and diffused layout reach the network either way."""
    generator = torch.Generator().manual_seed(0)
    image, noise, output = (torch.randn(2, 3, 8, 8, generator=generator) for _ in range(3))
    ids = torch.randint(0, 20, (2, 8, 8), generator=generator)
    labels = LabelMap(ids, 19, instance_borders(ids))
    t, u = torch.tensor([300, 980]), torch.rand(2, 8, 8, generator=generator)
    network = Recorded(output)
    denoiser = Denoiser(network, NoiseSchedule.named("linear"), CELEBA)

    denoiser.loss(image, labels, t, noise, u)
    trained_on, x = network.labels, network.x
    denoiser(x, t, labels, u)

    assert torch.equal(x, denoiser.schedule.add_noise(image, t, noise))
    assert torch.equal(network.labels.ids, trained_on.ids) and torch.equal(network.x, x)
    assert network.labels.edges is labels.edges and network.labels.unpainted.any()
    assert not torch.equal(trained_on.ids, labels.ids)


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_the_right_answer_is_understood(prediction: str) -> None:
    """The network that says what `prediction` means has no error and finds the image."""
    generator = torch.Generator().manual_seed(0)
    image, noise = torch.randn(2, 4, 3, 4, 4, dtype=torch.float64, generator=generator)
    t = torch.tensor([0, 10, 500, 900])
    schedule = NoiseSchedule.named("cosine")
    a = torch.from_numpy(schedule.alphas_cumprod)[t][:, None, None, None]
    answers = {"eps": noise, "v": a.sqrt() * noise - (1 - a).sqrt() * image, "x0": image}
    denoiser = Denoiser(Recorded(answers[prediction]), schedule, prediction=prediction)
    labels = LabelMap(torch.zeros(4, 4, 4, dtype=torch.int64), 1)

    x = schedule.add_noise(image, t, noise)
    assert deviation(denoiser(x, t, labels).x0, image) <= 1e-9
    assert denoiser.loss(image, labels, t, noise).total.max() <= 1e-20


def test_without_learned_variance_the_loss_is_the_error() -> None:
    image, noise, output = torch.randn(3, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = LabelMap(torch.zeros(2, 4, 4, dtype=torch.int64), 1)
    denoiser = Denoiser(Recorded(output), NoiseSchedule.named("linear"))
    terms = denoiser.loss(image, labels, torch.tensor([3, 700]), noise)
    assert terms.vb is None and denoiser(image, torch.tensor([3, 700]), labels).variance is None
    assert deviation(terms.total, ((noise - output) ** 2).mean((1, 2, 3))) <= 1e-6
    with pytest.raises(ValueError, match=r"objective kl needs a network that learns the variance: set learn_sigma"):
        denoiser.loss(image, labels, torch.tensor([3, 700]), noise, objective="kl")


def test_the_bound_trains_only_the_variance() -> None:
    """The hybrid loss keeps the bound's hands off epsilon; the plain bound does not."""
    output = torch.randn(1, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    image, noise = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = LabelMap(torch.zeros(1, 4, 4, dtype=torch.int64), 1)
    gradients = {}
    for objective in ("hybrid", "kl"):
        output = output.detach().requires_grad_()
        denoiser = Denoiser(Recorded(output), NoiseSchedule.named("linear"))
        terms = denoiser.loss(image, labels, torch.tensor([400]), noise, objective=objective)  # type: ignore[arg-type]
        assert terms.vb is not None
        (gradients[objective],) = torch.autograd.grad(terms.vb.sum(), output)
    assert gradients["hybrid"][:, :3].abs().max() == 0 and gradients["kl"][:, :3].abs().max() > 0
    assert gradients["hybrid"][:, 3:].abs().max() > 0


def test_respacing_reaches_noise_and_labels_alike() -> None:
    denoiser = Denoiser(Recorded(torch.zeros(1, 3, 2, 2)), NoiseSchedule.named("linear"), LabelDiffusion())
    short = denoiser.respaced("ddim25")
    assert short.label_diffusion is not None
    assert list(short.label_diffusion.timesteps) == short.schedule.timesteps.tolist()
    assert len(denoiser.schedule) == 1000 and short.network is denoiser.network
    t = torch.tensor([480])  # position 12 of 25
    assert short.label_diffusion.mask_probability(t, 1).item() == pytest.approx(13 / 25)
    x = torch.ones(1, 3, 2, 2)
    x0 = x / math.sqrt(denoiser.schedule.alphas_cumprod[480])
    labels = LabelMap(torch.zeros(1, 2, 2, dtype=torch.int64), 1)
    assert deviation(short(x, t, labels, torch.zeros(1, 2, 2)).x0, x0) <= 1e-6


def test_label_diffusion_without_its_draws_raises() -> None:
    labels = LabelMap(torch.zeros(1, 2, 2, dtype=torch.int64), 19)
    network = Recorded(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match="needs its uniform draws u"):
        Denoiser(network, NoiseSchedule.named("linear"), CELEBA)(network.output, torch.tensor([5]), labels)


PLACES = torch.tensor([20, 500, 980])


def predicted(prediction: str, error: Tensor, **loss: object) -> Tensor:
    """The loss, at `PLACES`, of a network of this output whose x0 is off by `error` (3, 3, 4, 4)."""
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(3, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    schedule = NoiseSchedule.named("cosine", shift=0.25)
    x = schedule.add_noise(x0, PLACES, noise)
    wrong = x0 + error
    eps = schedule.eps_from_x0(x, PLACES, wrong)
    output = {"x0": wrong, "eps": eps, "v": schedule.v_from(wrong, PLACES, eps)}[prediction]
    labels = LabelMap(torch.tensor([1, 1, 0, 0]).expand(3, 4, 4).contiguous(), 2)
    denoiser = Denoiser(Recorded(output), schedule, prediction=prediction)
    return denoiser.loss(x0, labels, PLACES, noise, **loss).total  # type: ignore[arg-type]


ERROR = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_a_weighting_means_the_same_whatever_the_network_predicts(prediction: str, weighting: str) -> None:
    weighted = predicted(prediction, ERROR, weighting=weighting, log_snr_limit=-1.0)
    expected = predicted("x0", ERROR, weighting=weighting, log_snr_limit=-1.0)
    torch.testing.assert_close(weighted, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["eps", "v"])
def test_a_weighting_is_the_loss_of_a_network_that_predicts_what_it_names(name: str) -> None:
    """So x0 with the weighting eps has the published loss of eps."""
    torch.testing.assert_close(predicted("x0", ERROR, weighting=name), predicted(name, ERROR), rtol=1e-5, atol=0)


def test_sigmoid_weighs_as_eps_does_where_noise_is_strong_and_lets_go_where_it_is_weak() -> None:
    ratio = predicted("x0", ERROR, weighting="sigmoid", log_snr_limit=0.0) / predicted("x0", ERROR, weighting="eps")
    schedule = NoiseSchedule.named("cosine", shift=0.25)
    snr = torch.from_numpy(schedule.alphas_cumprod / (1 - schedule.alphas_cumprod))[PLACES]
    torch.testing.assert_close(ratio, 1 / (1 + snr), rtol=1e-5, atol=0)
    assert ratio[-1] > 0.99 and ratio[0] < 0.1


def test_min_snr_weighs_as_eps_does_up_to_its_limit() -> None:
    """Hang et al. 2023: of the error of x0, min(SNR, 5)."""
    ratio = predicted("x0", ERROR, weighting="min_snr", log_snr_limit=math.log(5)) / predicted("x0", ERROR)
    schedule = NoiseSchedule.named("cosine", shift=0.25)
    snr = torch.from_numpy(schedule.alphas_cumprod / (1 - schedule.alphas_cumprod))[PLACES]
    torch.testing.assert_close(ratio, snr.clamp(max=5), rtol=1e-5, atol=0)
    assert snr[0] > 5 > snr[1]


def test_truncated_weighs_by_the_ratio_between_one_and_its_limit() -> None:
    ratio = predicted("x0", ERROR, weighting="truncated", log_snr_limit=1.0) / predicted("x0", ERROR)
    schedule = NoiseSchedule.named("cosine", shift=0.25)
    snr = torch.from_numpy(schedule.alphas_cumprod / (1 - schedule.alphas_cumprod))[PLACES]
    torch.testing.assert_close(ratio, snr.clamp(1, torch.e), rtol=1e-5, atol=0)
    assert snr[0] > torch.e and snr[-1] < 1


@pytest.mark.parametrize("weighting", ["output", "truncated"])
def test_emphasised_classes_count_as_often_as_they_say(weighting: str) -> None:
    """The left half is class 1 of weight 3, the right half class 0: the loss is that of an error of sqrt(3) times the size
    there, and what is told of the squared error is not weighted."""
    error, larger = ERROR.clone(), ERROR.clone()
    larger[..., :2] *= math.sqrt(3)
    weights = torch.tensor([1.0, 3.0, 1.0])
    torch.testing.assert_close(
        predicted("x0", error, weighting=weighting, class_weights=weights), predicted("x0", larger, weighting=weighting)
    )


def test_emphasis_goes_by_the_labels_that_the_network_is_shown() -> None:
    """At the last step all of them are MASK, whose weight is 1: what the network cannot see, the loss does not tell it."""
    schedule, error = NoiseSchedule.named("linear"), torch.ones(1, 3, 4, 4)
    labels, u = LabelMap(torch.ones(1, 4, 4, dtype=torch.int64), 2), torch.zeros(1, 4, 4)
    denoiser = Denoiser(Recorded(error), schedule, LabelDiffusion())
    noise, weights = torch.zeros(1, 3, 4, 4), torch.tensor([1.0, 5.0, 1.0])
    for t, counts in ((0, 5.0), (999, 1.0)):
        terms = denoiser.loss(
            noise, labels, torch.tensor([t]), noise, u + (0.5 if t == 0 else 0), class_weights=weights
        )
        assert terms.total.item() == pytest.approx(counts) and terms.mse.item() == pytest.approx(1)


def test_a_window_is_given_the_height_of_the_whole() -> None:
    class Network(Recorded):
        def forward(self, x: Tensor, t: Tensor, labels: LabelMap, height: int | None = None) -> Tensor:
            self.height = height
            return super().forward(x, t, labels)

    network, x = Network(torch.zeros(1, 3, 4, 4)), torch.zeros(1, 3, 4, 4)
    labels = LabelMap(torch.zeros(1, 4, 4, dtype=torch.int64), 2)
    Denoiser(network, NoiseSchedule.named("linear"), height=512)(x, PLACES[:1], labels)
    assert network.height == 512
