"""Writes the model card of a run, README.md, in the format of model hubs."""

from keras_resnet.analysis.paper_results import published
from keras_resnet.config import Config
from keras_resnet.description import Description
from keras_resnet.runs.folder import RunFolder, write_text


def write_card(folder: RunFolder, task, results: dict) -> None:
    """Writes the model card of a finished run, from its configuration and its results."""
    write_text(folder.card, card(folder, task, results))


def card(folder: RunFolder, task, results: dict) -> str:
    """Returns the model card as Markdown, with YAML front matter.

    Args:
        folder: the run's folder, which holds the versions.
        task: the task.
        results: as in results.json.
    """
    config = task.config
    network, data, train = config.model.name, config.data.name, config.train
    lines = [
        "---",
        "library_name: keras",
        "pipeline_tag: image-classification",
        f"tags: [keras_resnet, {network}]",
        "---",
        f"# {network} on {data}",
        "",
        figures(folder, config, task.description, results),
        "",
        "## Use",
        "",
        "Images are RGB in [0, 255], of any size; preprocessing is the model's first layer.",
        "",
        "```sh",
        f"keras-resnet export --workdir={folder.path} --output=exports/{network}",
        f"keras-resnet predict exports/{network} IMAGE...",
        "```",
        "",
        "## Limits",
        "",
        f"Tested on images of {data} alone; whoever uses the model elsewhere should test it there. The error of each",
        f"class: `keras-resnet evaluate {folder.path} --report=DIR`.",
        "",
        "## Recipe",
        "",
        f"{train.total_steps:,} steps of {train.batch_size} images, seed {train.seed}; all of it:",
        "",
        "```yaml",
        config.to_yaml().rstrip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def figures(folder: RunFolder, config: Config, description: Description, results: dict) -> str:
    """Returns the results of a finished run as Markdown.

    Args:
        folder: the run's folder, which holds the versions.
        config: the run's configuration.
        description: the model description.
        results: as in results.json.
    """
    sizes = [f"{size:,} {name}" for name, size in results.get("images", {}).items()]
    best, environment = results["best"], folder.read_environment()
    lines = [
        "| | last step | best |",
        "|---|---|---|",
        f"| step | {results['steps']:,} | {best['step']:,} |",
        *[_row(name, results["validation"][name], value) for name, value in best["validation"].items()],
        "",
        *[f"Published: {each.error} % error, {each.protocol} ({each.source})." for each in published(config)],
        f"Images: {', '.join([*sizes, f'{len(description.labels)} classes'])}.",
        f"Training: {results['seconds']:,.0f} s at {results['images_per_second']:,.0f} images per second.",
        f"keras_resnet {environment.get('keras_resnet', '?')}, commit {environment.get('commit') or 'unknown'}, "
        f"TensorFlow {environment.get('tensorflow', '?')}, Keras {environment.get('keras', '?')}.",
        *([f"{results['skipped']} unreadable images were skipped."] if results["skipped"] else []),
        "",
        "![Curves](curves.png)",
    ]
    return "\n".join(lines)


def _row(name, last, best):
    return f"| validation {name.replace('_', ' ')} | {_figure(name, last)} | {_figure(name, best)} |"


def _figure(name, value):
    return f"{value:.2f} %" if name.endswith("error") else f"{value:.4f}"
