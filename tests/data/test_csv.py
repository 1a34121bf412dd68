"""Tests of csv:FILE: columns, splits, labels, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_resnet.config import Data, load_config
from keras_resnet.data.csv_rows import read_table
from keras_resnet.data.prepare import prepare
from keras_resnet.data.sources import load_image_set, open_image_set
from keras_resnet.data.verify import verify
from keras_resnet.errors import ConfigError, DataError


class SeveralLabels(Data):
    wants_several_labels = True


def image(folder, name, gray=0):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), gray, np.uint8)).save(path)


def table(folder, text, images="abcdef", name="train.csv", suffix=".png"):
    """Writes the file and the images a.png, b.png, ...; returns `data.name`."""
    for i, each in enumerate(images):
        image(folder, each + suffix, 20 * i % 256)
    (folder / name).write_text(text)
    return f"csv:{folder / name}"


def load(name, kind=Data, **columns):
    held = {"validation_fraction": 0.0, "test_fraction": 0.0}
    return load_image_set(kind(name=name, csv=columns, **held), None)


def contents(images, split):
    """Returns {file name: target} of a split."""
    each = images.split(split)
    targets = [np.asarray(each.read(i)[1]).tolist() for i in range(each.size)]
    return {each.source(i).rpartition("/")[2]: target for i, target in enumerate(targets)}


SPLITS = (
    "file_name,label,split\na.png,dog,train\nb.png,cat,train\nc.png,cat,valid\nd.png,dog,test\ne.png,dog,Training\n"
)


def test_csv_usual_names_are_found_without_a_key(tmp_path):
    images = load(table(tmp_path, SPLITS))
    assert images.labels == ("cat", "dog")
    assert images.image_shape == (None, None, 3)
    assert contents(images, "train") == {"a.png": 1, "b.png": 0, "e.png": 1}
    assert contents(images, "validation") == {"c.png": 0}
    assert contents(images, "test") == {"d.png": 1}
    assert images.split("train").labels.tolist() == [1, 0, 1]
    assert images.overview()["classes"] == "cat 2, dog 3"


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("id,breed", "{},{}"),  # the only other column holds the labels
        ("Image Index;Finding Labels;Age", "{};{};3"),
        ("class id\tfilepaths\tlabels", "7\t{}\t{}"),
    ],
)
def test_csv_columns_of_kaggle_files_are_found(tmp_path, header, row):
    rows = "\n".join(row.format(name, label) for name, label in (("a.png", "x"), ("b.png", "y")))
    images = load(table(tmp_path, f"{header}\n{rows}\n"))
    assert contents(images, "train") == {"a.png": 0, "b.png": 1}


def test_csv_named_columns_folder_and_suffix(tmp_path):
    table(tmp_path / "photos", "", "ab", name="unused.csv", suffix=".jpg")
    name = table(tmp_path, 'key,"what, it is",grade\na,10,1\nb,9,2\n', images="")
    images = load(name, image="key", label="what, it is", folder="photos", suffix=".jpg")
    assert images.labels == ("9", "10")  # numbers by value
    assert contents(images, "train") == {"a.jpg": 1, "b.jpg": 0}


def test_csv_unknown_columns_are_named_in_one_line(tmp_path):
    name = table(tmp_path, "key,what,grade\na.png,x,1\nb.png,y,2\n")
    with pytest.raises(ConfigError) as caught:
        load(name)
    path = tmp_path / "train.csv"
    assert str(caught.value) == (
        f'data.csv.image: {path} has the columns "key", "what", "grade"; name that of the images\' paths, '
        "for example --set data.csv.image=key"
    )
    with pytest.raises(
        ConfigError, match=r'^data.csv.label: .* has the columns "key", "what", "grade"; name that of the'
    ):
        load(name, image="key")
    spaced = table(tmp_path, "key,x,what it is\na.png,p,q\nb.png,r,s\n", name="spaced.csv")
    with pytest.raises(ConfigError, match=r"for example --set 'data.csv.label=what it is'$"):
        load(spaced, image="key")
    with pytest.raises(ConfigError, match=r'^data.csv.label: .* has no column "waht"; did you mean "what"?'):
        load(name, image="key", label="waht")
    with pytest.raises(ConfigError, match=r'^data.csv.label: column "key" of .* is that of data.csv.image'):
        load(name, image="key", label="key")


def test_csv_missing_images_name_the_keys_that_find_them(tmp_path):
    table(tmp_path / "train_images", "", "ab", name="unused.csv", suffix=".jpg")
    name = table(tmp_path, "image_id,label\na,x\nb,y\n", images="")
    with pytest.raises(DataError) as caught:
        load(name)
    assert str(caught.value) == (
        f"data.name: {name}: train: {tmp_path}/a: no such file; {tmp_path}/train.csv, line 2; "
        "set data.csv.folder=train_images and data.csv.suffix=.jpg (verify-data lists 1 more)"
    )
    assert contents(load(name, folder="train_images", suffix=".jpg"), "train") == {"a.jpg": 0, "b.jpg": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n", "has no rows below its header"),
        ("", "is empty"),
        ("file,label\na.png\n", "line 2: has 1 cells; its header has 2"),
        ("file,file\na.png,x\n", 'two columns have the name "file"'),
        ("file,label,split\na.png,x,train\nb.png,y,7\n", 'line 3: column "split" has the split "7"; expected train'),
        ("file,label,split\na.png,x,test\nb.png,y,test\n", "has no row of the split train, only of test"),
        ("file,label\n,x\nb.png,y\n", 'line 2: has no image in column "file"'),
        ("file,label\na.png,x\nb.png,x\n", "expected two or more classes in the training images, found 1: x"),
        ("file,label\na.png,\nb.png,x\nc.png,y\n", "a.png: has no label; .*line 2"),
        ("file,label\na.png,x\na.png,y\n", "a.png: has another label than in .*line 2; .*line 3"),
        ("file,label,split\na.png,x,train\nb.png,y,train\na.png,x,val\n", "a.png: is in train too; .*4 and .*line 2"),
        ("file,label,split\na.png,x,train\nb.png,y,train\nc.png,z,val\n", 'class "z": train does not have this class'),
        ("file,x,y\na.png,1,1\nb.png,0,1\n", "line 2: its 2 columns of labels sum to 2; expected 1.*task: multilabel"),
        ('file,label\na.png,"x\nb.png,y\n', 'line 3: label "x.b.png,y": its name has a control character; is a quote'),
        ('file,"x\ty",z\na.png,1,0\nb.png,0,1\n', 'label "x.y": its name has a control character'),
    ],
)
def test_csv_unusable_rows_are_refused_with_their_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        load(table(tmp_path, text))


def test_csv_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"data.name: csv:.*nothing.csv: no such file"):
        load(f"csv:{tmp_path}/nothing.csv")
    (tmp_path / "latin.csv").write_bytes("file,label\na.png,été\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin.csv: is not UTF-8"):
        load(f"csv:{tmp_path}/latin.csv")
    (tmp_path / "bad.csv").write_text("file,label\n" + "x" * 200_000 + ",y\n")
    with pytest.raises(DataError, match=r"bad.csv, line 2: cannot be read .field larger"):
        load(f"csv:{tmp_path}/bad.csv")
    with pytest.raises(
        DataError, match=r"the folder has no metadata.csv or metadata.jsonl; name a file, such as csv:.*"
    ):
        load(f"csv:{tmp_path}")


def test_csv_repeated_row_counts_once(tmp_path):
    images = load(table(tmp_path, "file,label\na.png,x\nb.png,y\na.png,x\n"))
    assert contents(images, "train") == {"a.png": 0, "b.png": 1}
    assert images.passed_over == {"image named twice": 1}


def test_csv_without_splits_holds_out_a_share_of_each_class(tmp_path):
    text = "file,label\n" + "".join(f"{i}.png,{'xy'[i % 2]}\n" for i in range(20))
    images = load_image_set(Data(name=table(tmp_path, text, images=map(str, range(20)))), "label")
    assert {name: sorted(split.labels) for name, split in images.splits.items()} == {
        "train": [0] * 8 + [1] * 8,
        "validation": [0, 1],
        "test": [0, 1],
    }
    names = [name for split in images.splits for name in contents(images, split)]
    assert sorted(names) == sorted(f"{i}.png" for i in range(20))


def test_csv_one_hot_columns_are_classes(tmp_path):
    images = load(table(tmp_path, "image_id,healthy,rust,scab\na.png,0,1,0\nb.png,1,0,0\nc.png,0,0,1.0\n"))
    assert images.labels == ("healthy", "rust", "scab")
    assert images.target == "label"
    assert contents(images, "train") == {"a.png": 1, "b.png": 0, "c.png": 2}
    assert images.split("train").probabilities is None


def test_csv_bit_of_a_quoted_cell_and_bom_are_read(tmp_path):
    (tmp_path / "a.csv").write_bytes('\ufefffile,label\r\n"a, b.png","x ""y"""\r\n\r\n'.encode())
    found = read_table(str(tmp_path / "a.csv"))
    assert (found.columns, found.rows, found.lines) == (("file", "label"), [("a, b.png", 'x "y"')], [2])


def test_csv_huggingface_metadata_of_split_folders(tmp_path):
    for split, names in (("train", "ab"), ("test", "c")):
        rows = [{"file_name": f"{name}.png", "label": f"kind {name}", "n": 3} for name in names]
        text = "".join(
            json.dumps(row | {"label": "kind a" if split == "test" else row["label"]}) + "\n" for row in rows
        )
        table(tmp_path / split, text, names, name="metadata.jsonl")
    images = load(f"csv:{tmp_path}")
    assert images.labels == ("kind a", "kind b")
    assert contents(images, "train") == {"a.png": 0, "b.png": 1}
    assert contents(images, "test") == {"c.png": 0}


def test_csv_key_is_refused_for_other_sets_and_replaced_with_the_name(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("data: {name: digits, csv: {label: x}}\ntrain: {steps: 1}\n")
    with pytest.raises(ConfigError, match=r"config.yaml:1: data.csv: is for csv:PATH, not for digits; omit it"):
        load_config(str(path))
    path.write_text("data: {name: 'csv:a.csv', csv: {label: x}}\ntrain: {steps: 1}\n")
    assert load_config(str(path)).data.csv.label == ("x",)
    assert load_config(str(path), ["data.name=digits"]).data.csv.label == ()
    assert load_config(str(path), ["data.csv.label=[x, y]"]).data.csv.label == ("x", "y")
    assert load_config(str(path), ["data.csv.separator='|'"]).data.csv.separator == "|"
    with pytest.raises(
        ConfigError, match=r"^--set: data.csv.separator: expected a text, got \"\"; signs need two kinds"
    ):
        load_config(str(path), ["data.csv.separator=|"])


def test_verify_lists_the_problems_of_a_csv(tmp_path):
    name = table(tmp_path, "file,label\na.png,x\nb.png,y\nz.png,x\nc.png,\n")
    (tmp_path / "b.png").write_bytes(b"no image")
    report = verify(Data(name=name, validation_fraction=0, test_fraction=0))
    assert [(each.kind, each.source.rpartition("/")[2]) for each in report.findings] == [
        ("missing image", "z.png"),
        ("no label", "c.png"),
        ("unreadable", "b.png"),
    ]
    assert report.splits["train"].images == 3


def test_several_labels_of_a_separated_column(tmp_path):
    text = "file,tags,split\na.png,x|z,train\nb.png,,train\nc.png,z | y,val\na.png,y,train\n"
    images = load(table(tmp_path, text), SeveralLabels)
    assert (images.labels, images.target) == (("x", "y", "z"), "labels")
    assert contents(images, "train") == {"a.png": [1, 1, 1], "b.png": [0, 0, 0]}
    assert contents(images, "validation") == {"c.png": [0, 1, 1]}
    assert images.split("train").probabilities.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_several_labels_that_no_training_image_has_are_refused(tmp_path):
    name = table(tmp_path, "file,tags,split\na.png,apple|pear,train\nb.png,pear,train\nc.png,aple|pear,val\n")
    with pytest.raises(DataError, match=r'class "aple": train does not have this class; .* did you mean "apple"'):
        load(name, SeveralLabels)
    name = table(tmp_path, "file,tags,split\na.png,,train\nb.png,,train\nc.png,x,val\n")
    with pytest.raises(DataError, match="no training image has a label"):
        load(name, SeveralLabels)


def test_csv_labels_are_composed_unicode(tmp_path):
    text = "file,label\na.png,gr\u00fcn\nb.png,gru\u0308n\nc.png,x\n"
    assert load(table(tmp_path, text)).labels == ("gr\u00fcn", "x")
    assert load(table(tmp_path, text), SeveralLabels).labels == ("gr\u00fcn", "x")
    columns = load(table(tmp_path, "file,gru\u0308n,x\na.png,1,0\nb.png,0,1\n"), label=["gr\u00fcn", "x"])
    assert columns.labels == ("gr\u00fcn", "x")


def test_csv_a_column_of_labels_is_named_once(tmp_path):
    name = table(tmp_path, "file,x,y\na.png,1,0\nb.png,0,1\n")
    with pytest.raises(ConfigError, match=r'data.csv.label: names the column "x" twice'):
        load(name, SeveralLabels, label=["x", "y", "x"])


def test_csv_half_a_character_of_json_ends_in_one_line(tmp_path):
    table(tmp_path, "")
    for line in ('{"file_name": "a.png", "label": "\\ud800"}', '{"file_name": "\\ud800.png", "label": "x"}'):
        path = tmp_path / "set.jsonl"
        path.write_text(line + '\n{"file_name": "b.png", "label": "y"}\n')
        with pytest.raises(DataError, match="line 1: is not JSON in UTF-8"):
            load(f"csv:{path}")


def test_several_labels_need_a_clear_separator(tmp_path):
    name = table(tmp_path, 'file,tags\na.png,No Finding|Mass\nb.png,"Mass, left"\n')
    with pytest.raises(ConfigError, match=r"data.csv.separator: labels such as .* have \| and ,; set the one between"):
        load(name, SeveralLabels)
    assert load(name, SeveralLabels, separator="|").labels == ("Mass", "Mass, left", "No Finding")
    spaced = table(tmp_path, "file,tags\na.png,haze primary\nb.png,haze\n", name="spaced.csv")
    with pytest.raises(ConfigError, match=r'data.csv.separator: is "haze primary" one label, or several?'):
        load(spaced, SeveralLabels)
    assert load(spaced, SeveralLabels, separator=" ").labels == ("haze", "primary")
    with pytest.raises(ConfigError, match=r"data.csv.separator: images with several labels need task: multilabel"):
        load(spaced, separator=" ")


def test_several_labels_of_columns(tmp_path):
    images = load(table(tmp_path, "file,x,y\na.png,1,1\nb.png,0,0.25\n"), SeveralLabels)
    assert contents(images, "train") == {"a.png": [1, 1], "b.png": [0, 0.25]}
    with pytest.raises(DataError, match=r'line 3: column "y" has "2"; expected 1, 0, or a probability'):
        load(table(tmp_path, "file,x,y\na.png,1,1\nb.png,0,2\n"), SeveralLabels, label=["x", "y"])


def test_set_of_several_labels_is_no_set_of_boxes(tmp_path):
    name = table(tmp_path, "file,tags\na.png,x|y\nb.png,y\n")
    data = SeveralLabels(name=name, validation_fraction=0, test_fraction=0)
    assert open_image_set(data).target == "labels"
    with pytest.raises(ConfigError, match=r"has several labels for each image, and this needs a class for each image"):
        load_image_set(data)


def test_csv_becomes_records_with_the_same_labels(tmp_path):
    name = table(tmp_path / "photos", SPLITS)
    prepare(Data(name=name), str(tmp_path / "records"))
    records = load_image_set(Data(name=f"tfrecord:{tmp_path / 'records'}"))
    assert records.labels == ("cat", "dog")
    labels = {
        name: sorted(int(split.read(np.int64(i))[1]) for i in range(split.size))
        for name, split in records.splits.items()
    }
    assert labels == {"train": [0, 1, 1], "validation": [0], "test": [1]}


def test_verify_counts_images_without_labels_and_finds_copies_with_other_labels(tmp_path):
    name = table(tmp_path, "file,tags,split\na.png,x|y,train\nb.png,,train\nc.png,x,train\nd.png,y,val\n")
    for copy in ("c.png", "d.png"):
        (tmp_path / copy).write_bytes((tmp_path / "a.png").read_bytes())
    report = verify(SeveralLabels(name=name))
    found = {(each.kind, each.split, each.source.rpartition("/")[2]) for each in report.findings}
    assert found == {
        ("two sets of labels", "train", "c.png"),
        ("duplicate", "validation", "d.png"),
        ("empty class", "validation", 'class "x"'),
    }
    assert {note: len(sources) for note, sources in report.notes.items()} == {"no labels": 1}
    assert report.splits["train"].classes == 2


def test_held_out_images_have_their_share_of_a_rare_label(tmp_path):
    text = "file,tags\n" + "".join(f"{i}.png,{'often|rare' if i < 10 else 'often'}\n" for i in range(40))
    data = SeveralLabels(name=table(tmp_path, text, images=map(str, range(40))))
    splits = load_image_set(data, None).splits
    rare = {name: int(split.probabilities[:, 1].sum()) for name, split in splits.items()}
    assert rare == {"train": 8, "validation": 1, "test": 1}
    assert {name: split.size for name, split in splits.items()} == {"train": 32, "validation": 4, "test": 4}


def test_csv_of_avif_images_is_refused_for_a_tf_data_service(tmp_path):
    name = table(tmp_path, "file,label\na.avif,x\nb.avif,y\n", "ab", suffix=".avif")
    assert contents(load(name), "train") == {"a.avif": 0, "b.avif": 1}
    with pytest.raises(
        ConfigError, match=r"data.tf_data_service: its workers read no AVIF, TIFF or HEIC, such as .*a.avif"
    ):
        load_image_set(Data(name=name, tf_data_service="grpc://host:1"))


def test_csv_label_that_joins_other_labels_is_refused(tmp_path):
    rows = "file_name,label\na.png,cat\nb.png,dog\nc.png,cat|dog\nd.png,cat\n"
    with pytest.raises(DataError, match=r'the label "cat\|dog" joins other classes; .* need task: multilabel'):
        load(table(tmp_path, rows))
    # One label with a separator, of parts that are no labels.
    assert load(table(tmp_path, rows.replace("cat|dog", "cat|fox"))).labels == ("cat", "cat|fox", "dog")
