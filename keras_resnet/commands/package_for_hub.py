"""Writes a folder for the Hugging Face Hub, model.safetensors, config.json and README.md, and uploads it on request.

    keras-resnet package-for-hub runs/latest my-resnet
    hf upload OWNER/my-resnet my-resnet

    keras-resnet package-for-hub runs/latest my-resnet --push_to=OWNER/my-resnet

The first argument is a run's folder, or weights: a file or a published name. The second is the folder to write.
`keras_resnet.from_weights("my-resnet")` loads it, and `keras_resnet.from_weights("hf://OWNER/my-resnet")` loads it from
the Hub. --push_to creates the repository, with your account's usual visibility, or replaces the files of these names.
"""

import os

from absl import flags

from keras_resnet.commands.entry import require_tensorflow_backend
from keras_resnet.commands.evaluate import check_there
from keras_resnet.commands.weights_flags import define_weights_flags, preprocessing_flags, refuse
from keras_resnet.errors import ConfigError, DiskError
from keras_resnet.runs.folder import RunFolder


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "license", None, "License of the weights by its name on the Hub, such as apache-2.0.", flag_values=options
    )
    flags.DEFINE_string(
        "push_to", None, "OWNER/NAME: the Hub's repository to upload the folder to.", flag_values=options
    )
    define_weights_flags(options)


def main(options, arguments):
    """Writes the folder under a temporary name and renames it, and uploads it if `--push_to` is given."""
    if len(arguments) != 2:
        raise ConfigError("expected SOURCE and FOLDER, for example: keras-resnet package-for-hub runs/latest my-resnet")
    source, target = arguments
    check_there(source)
    if os.path.exists(target):
        raise ConfigError(f"{target}: already exists; name another folder")
    if not os.path.isdir(os.path.dirname(os.path.abspath(target))):
        raise ConfigError(f"{target}: there is no folder {os.path.dirname(target)}")

    from keras_resnet.weights.hub import check_upload, upload_folder, write_hub_folder

    given = preprocessing_flags(options)
    if options.push_to is not None:
        try:
            check_upload(options.push_to)
        except ValueError as error:
            raise ConfigError(f"--push_to={error}") from None
    if RunFolder(source).is_run():
        refuse(given, "a run has its own")
        model, text, pictures = _of_run(source)
    else:
        model, text, pictures = _of_weights(source, given)
    try:
        write_hub_folder(target, model, text, options.license, pictures, options.push_to)
    except OSError as error:
        raise DiskError(f"{target}: cannot be written ({error.strerror})") from None
    print(f"{target}: {', '.join(sorted(os.listdir(target)))}")
    sigmoid = ', classifier_activation="sigmoid"' if model.description.thresholds else ""
    if options.push_to is None:
        print(f'\nNext: keras_resnet.from_weights("{target}"{sigmoid})')
        print(f"      hf upload OWNER/{os.path.basename(os.path.abspath(target))} {target}")
        return
    try:
        print(upload_folder(target, options.push_to))
    except ValueError as error:
        raise ConfigError(f"--push_to={error}; {target} is complete: hf upload {options.push_to} {target}") from None
    print(f'\nNext: keras_resnet.from_weights("hf://{options.push_to}"{sigmoid})')


def _of_run(path):
    """Returns (model, text of the model card, paths of the plots)."""
    require_tensorflow_backend()
    from keras_resnet.commands.runs import load_run
    from keras_resnet.runs.report import results_section

    run, folder = load_run(path), RunFolder(path)
    results = folder.read_results()
    if results is None:
        raise ConfigError(f"{path}: the run is not finished; its card needs the final metrics")
    if run.description.detector or run.description.head:
        raise ConfigError(
            f"{path}: is a run of {run.config.task}; a folder of the Hub holds a classifier. Share an export or "
            f"{folder.best_weights}, which predict, evaluate and model.weights take"
        )
    return run.model, results_section(folder, run.config, run.description, results), [folder.curves]


def _of_weights(path, given):
    from keras_resnet.applications import from_weights

    try:
        model = from_weights(path, classifier_activation=None, **given)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return model, f"Weights of {path}.", []
