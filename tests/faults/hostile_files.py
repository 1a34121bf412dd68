"""Files of weights that attack whoever loads them: each function writes one into a folder and returns its path."""

import io
import json
import pathlib
import pickle
import struct
import tarfile
import zipfile

import h5py
import numpy as np

NAME = "conv2_block1_1_conv/kernel"


class Runs:
    """Pickled, it writes a file when it is loaded."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (pathlib.Path.write_text, (self.canary, "code was run"))


def keras_archive(layer):
    """A .keras file with a layer that loads code, and weights beside it."""

    def write(folder):
        path = folder / "model.keras"
        config = {"class_name": "Functional", "config": {"layers": [layer(folder)]}}
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", b"")
        return path

    return write


def lambda_layer(folder):
    return {"class_name": "Lambda", "config": {"function": ["4wAAAA==", None, None]}}


def saved_model_layer(folder):
    return {"class_name": "TFSMLayer", "config": {"filepath": str(folder / "elsewhere")}}


def torch_layer(folder):
    return {"class_name": "TorchModuleWrapper", "config": {"module": pickle.dumps(Runs(folder / "canary")).hex()}}


def foreign_module(folder):
    return {"module": "os", "class_name": "system", "config": {"command": f"touch {folder / 'canary'}"}}


def hdf5(fill):
    """An HDF5 file of weights in which `fill` places what is hostile."""

    def write(folder):
        path = folder / "weights.h5"
        with h5py.File(folder / "secret.h5", "w") as secret:
            secret["x"] = np.ones(4, np.float32)
        (folder / "secret.bin").write_bytes(b"\0" * 16)
        with h5py.File(path, "w") as file:
            fill(file, folder)
        return path

    return write


def external_link(file, folder):
    file[NAME] = h5py.ExternalLink(str(folder / "secret.h5"), "/x")


def soft_link(file, folder):
    file["real"] = np.ones(4, np.float32)
    file[NAME] = h5py.SoftLink("/real")


def external_storage(file, folder):
    file.create_dataset(NAME, (4,), np.float32, external=[(str(folder / "secret.bin"), 0, 16)])


def virtual_dataset(file, folder):
    layout = h5py.VirtualLayout(shape=(4,), dtype=np.float32)
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "x", shape=(4,))
    file.create_virtual_dataset(NAME, layout)


def shape_bomb(file, folder):
    file.create_dataset(NAME, (2**40,), np.float32, chunks=(2**20,), compression="gzip")


def many_bombs(file, folder):
    for i in range(20):
        file.create_dataset(f"layer{i}/kernel", (2**30 - 2**24,), np.float32, chunks=(2**20,), compression="gzip")


def group_loop(file, folder):
    file.create_group("a")
    file["a/again"] = file["a"]


def zip_bomb(folder):
    path = folder / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\0" * 2**28)
    return path


def object_array(folder):
    path = folder / "objects.npz"
    np.savez(path, a=np.array([Runs(folder / "canary")], dtype=object))
    return path


def pickled(folder):
    path = folder / "weights.pth"
    path.write_bytes(pickle.dumps({"layer1.0.conv1.weight": Runs(folder / "canary")}, protocol=2))
    return path


def zipped_pickle(folder):
    path = folder / "new.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("new/data.pkl", pickle.dumps({"a": Runs(folder / "canary")}))
    return path


def climbing_archive(folder):
    path = folder / "weights.tar"
    with tarfile.open(path, "w") as archive:
        for member in (tarfile.TarInfo("../climbed"), tarfile.TarInfo("link")):
            if member.name == "link":
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member, io.BytesIO(b""))
    return path


def safetensors(name, header, body=b""):
    def write(folder):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path = folder / f"{name}.safetensors"
        path.write_bytes(struct.pack("<Q", len(text)) + text + body)
        return path

    return write


def entry(begin, end, shape=(4,)):
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}


TWICE = (
    b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[4],"data_offsets":[16,32]}}'
)

HOSTILE = {
    "keras, Lambda": keras_archive(lambda_layer),
    "keras, TFSMLayer": keras_archive(saved_model_layer),
    "keras, TorchModuleWrapper": keras_archive(torch_layer),
    "keras, foreign module": keras_archive(foreign_module),
    "HDF5, external link": hdf5(external_link),
    "HDF5, soft link": hdf5(soft_link),
    "HDF5, external storage": hdf5(external_storage),
    "HDF5, virtual dataset": hdf5(virtual_dataset),
    "HDF5, an array of 4 TiB": hdf5(shape_bomb),
    "HDF5, 20 arrays of 3.9 GiB": hdf5(many_bombs),
    "HDF5, a group inside itself": hdf5(group_loop),
    "zip bomb": zip_bomb,
    "npz, pickled objects": object_array,
    "pickle": pickled,
    "zipped pickle": zipped_pickle,
    "tar, ../ and a link": climbing_archive,
    "safetensors, header of 100 MB": safetensors("large", b"{" + b" " * (100 * 2**20)),
    "safetensors, overlapping offsets": safetensors("overlap", {"a": entry(0, 16), "b": entry(8, 24)}, b"\0" * 24),
    "safetensors, a name twice": safetensors("twice", TWICE, b"\0" * 32),
    "safetensors, beyond its end": safetensors("beyond", {"a": entry(0, 2**40, (2**38,))}, b"\0" * 16),
    "safetensors, header nested without end": safetensors("nested", b"[" * 100_000),
}

# Why each is refused: HDF5 opens files without Python's knowledge, so that only the reason shows that it did not.
REASONS = {
    "keras, ": "is an archive",
    "HDF5, external link": "is a link to somewhere else, which is never followed",
    "HDF5, soft link": "is a link to somewhere else, which is never followed",
    "HDF5, external storage": "keeps its numbers in another file, which is never opened",
    "HDF5, virtual dataset": "keeps its numbers in another file, which is never opened",
    "HDF5, an array": "declares 4,398,046,511,104 bytes of arrays",
    "HDF5, 20 arrays": "declares 84,557,168,640 bytes of arrays",
    "HDF5, a group": "is nested or shared",
    "zip bomb": "is an archive",
    "npz": "is an archive",
    "pickle": "is PyTorch's own format, which can run code",
    "zipped pickle": "is PyTorch's own format, which can run code",
    "tar": "its first 8 bytes state a header of",
    "safetensors, header of": "its first 8 bytes state a header of 104,857,601 bytes",
    "safetensors, overlapping": "invalid offset",
    "safetensors, a name twice": "its header names a tensor twice",
    "safetensors, beyond": "not a complete safetensors file",
    "safetensors, header nested": "not a complete safetensors file",
}


def reason(name):
    """What the message about a hostile file says."""
    return next(text for start, text in REASONS.items() if name.startswith(start))
