"""Compares the cost of every network, and error against depth, with the paper's values (tables 1 and 6)."""

from keras_resnet.analysis.complexity import complexity, read_complexities
from keras_resnet.paper_results import COSTS, PUBLISHED, ten_crop_error
from keras_resnet.reproduce import degradation
from keras_resnet.reproduce.experiment import Experiment
from keras_resnet.reproduce.plots import COLORS, MARKERS, label, legend_above, new_figure, spread
from keras_resnet.reproduce.report_page import Check, Plot, ReportPage, Table, agrees, check_within
from keras_resnet.specs import CIFAR_DEPTHS, SPECS

# Networks whose 10-crop errors on ImageNet the paper gives, in the order of their depth
IMAGENET = {
    "plain": ("plain18", "plain34"),
    "residual": ("resnet18:A", "resnet34:A", "resnet50", "resnet101", "resnet152"),
}
VGG = (16, 19)

TEXT = """
What does one image cost? Layers are counted as the papers do (convolutions of F and the classifier), MACs are
those of convolutions and dense layers (the papers' "FLOPs"), activations the numbers that these and max pooling put
out. Ours are read off the Keras models' graphs: those of the package's networks lie in it, and its tests count them
again. Nothing is trained for this page.

A figure agrees where it differs by less than the last digit that is given: the papers round some and cut others.
ResNet-18 and 34 are compared with option A, as in the paper's table 2. VGG-16 and VGG-19 are `keras.applications`';
the paper's 15.3 and 19.6 billion leave out some of what is counted here, so that they are compared within 2 %. So is
the pre-activation network of 1001 layers, whose 10.2 million (He et al. 2016) do not follow from that paper's
description.
"""


def jobs(experiment: Experiment) -> list:
    """Returns no jobs, since the page only builds models."""
    return []


def page(experiment: Experiment) -> ReportPage:
    """Returns the page with the counts and the published errors over depth."""
    costs = read_complexities()
    rows = [_row(name, SPECS[name].layers, SPECS[name].image_size, cost) for name, cost in costs.items()]
    for layers in VGG:
        costs[f"vgg{layers}"] = count_vgg(layers)
        rows.append(_row(f"vgg{layers}", layers, 224, costs[f"vgg{layers}"]))
    return ReportPage(
        name="complexity",
        title="What the networks cost (tables 1 and 6)",
        text=TEXT,
        tables=[Table("", "Every row of `keras_resnet.SPECS`, at the size of images that its paper trains on", rows)],
        plots=[_cost_picture(costs), _error_picture(experiment)],
        checks=_checks(costs),
    )


def count_vgg(layers: int) -> dict[str, int]:
    """Counts the cost of VGG-16 or VGG-19 (Simonyan and Zisserman 2014) on the model of keras.applications."""
    import keras

    model = {16: keras.applications.VGG16, 19: keras.applications.VGG19}[layers](weights=None)
    cost = complexity(model)
    return {"macs": cost.macs, "parameters": cost.parameters, "activations": cost.activations}


def _published(name, quantity):
    """Returns the published cost of a network, or None."""
    return next((each.value for each in COSTS if (each.network, each.quantity) == (name, quantity)), None)


def _row(name, layers, side, cost):
    return {
        "network": name,
        "layers": layers,
        "image (px)": side,
        "parameters (1e6)": cost["parameters"] / 1e6,
        "the paper's (1e6)": _published(name, "parameters"),
        "MACs (1e9)": round(cost["macs"] / 1e9, 4),
        "the paper's (1e9)": _published(name, "macs"),
        "activations (1e6)": cost["activations"] / 1e6,
    }


def _checks(costs):
    checks = []
    for each in COSTS:
        if each.quantity == "macs":
            claim, ours, unit = f"{each.network} has the paper's MACs", _paper_s(costs, each.network), " G"
        else:
            ours, unit = costs[each.network]["parameters"] / 1e6, " M"
            claim = f"{each.network} has the paper's parameters"
        if each.tolerance is None:
            checks.append(agrees(claim, ours, each.value, each.digits, unit))
        else:
            claim = f"{claim}, within {100 * each.tolerance:g} %"
            checks.append(check_within(claim, ours, each.value, each.tolerance, unit))
    deep, vgg = _paper_s(costs, "resnet152"), [_paper_s(costs, f"vgg{layers}") for layers in VGG]
    claim = "ResNet-152 costs less than VGG-16 and VGG-19 (section 3.4)"
    checks.append(Check(claim, deep < min(vgg), f"{deep:.1f} G against {vgg[0]:.1f} and {vgg[1]:.1f} G"))
    share = 100 * _paper_s(costs, "resnet34") / vgg[1]
    return [*checks, agrees("ResNet-34 has 18 % of VGG-19's MACs (section 3.3)", share, 18, 0, " %")]


def _paper_s(costs, name):
    """Returns the MACs (1e9) of the paper's network of this name; its ResNet-18 and 34 use option A."""
    plain = {"resnet18": "plain18", "resnet34": "plain34"}  # option A adds no MACs
    return costs[plain.get(name, name)]["macs"] / 1e9


def _cost_picture(costs):
    figure, ((parameters, adds),) = new_figure(2)
    families = {
        "residual": (("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), "ResNet"),
        "plain": (("plain18", "plain34"), "plain"),
        "C": (("vgg16", "vgg19"), "VGG"),
    }
    layers = {"vgg16": 16, "vgg19": 19} | {name: spec.layers for name, spec in SPECS.items()}
    for color, (names, shown) in families.items():
        for axes, key, unit in ((parameters, "parameters", 1e6), (adds, "macs", 1e9)):
            style = {"color": COLORS[color], "marker": MARKERS[color]}
            axes.plot(
                [layers[name] for name in names], [costs[name][key] / unit for name in names], label=shown, **style
            )
    published = [(layers[each.network], each.value) for each in COSTS if each.quantity == "macs"]
    adds.plot(
        *zip(*published, strict=True), "k+", markersize=9, markeredgewidth=1.2, label="the paper's", linestyle="none"
    )
    label(parameters, "layers", "parameters (millions)", legend=None, ylim=(0, None))
    label(adds, "layers", "MACs per image (billions)", ylim=(0, None))
    caption = "What an image of 224 pixels costs: deeper residual networks, and VGG-16 and 19 for comparison."
    return Plot("costs", caption, figure)


def _error_picture(experiment):
    figure, ((imagenet, cifar),) = new_figure(2)
    for family, names in IMAGENET.items():
        style = {"color": COLORS[family], "marker": MARKERS[family], "label": f"{family}, the paper's (ImageNet)"}
        layers = [SPECS[name.partition(":")[0]].layers for name in names]
        imagenet.plot(layers, [ten_crop_error(name) for name in names], fillstyle="none", linestyle=":", **style)
    label(imagenet, "layers", "top-1 error, 10-crop (%)", "ImageNet", None)
    errors = [PUBLISHED[f"cifar_resnet{depth}", "cifar10"][0].error for depth in CIFAR_DEPTHS]
    cifar.plot(CIFAR_DEPTHS, errors, "k*", markersize=7, zorder=5, label="residual on CIFAR-10, the paper's")
    data = ""
    for family in degradation.FAMILIES:
        runs = {depth: degradation.trainings(experiment, family, depth) for depth in experiment.depths}
        if all(experiment.is_done(run) for each in runs.values() for run in each):
            data = f" (ours: {experiment.data})"
            ours = [[experiment.test_error(run) for run in each] for each in runs.values()]
            spread(cifar, list(runs), ours, color=COLORS[family], marker=MARKERS[family], label=f"{family}, ours")
    label(cifar, "layers", "test error (%)", f"CIFAR networks{data}", None, ylim=(0, None))
    legend_above(figure, 3)
    caption = "Error against depth, with the paper's values; ours where the runs of `reproduce degradation` are there."
    return Plot("errors", caption, figure)
