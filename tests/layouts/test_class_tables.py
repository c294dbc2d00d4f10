"""Class tables as tools write them: names, ids and colours are read as they are meant, and what is assumed is said."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scdm.cli import main
from scdm.layouts.class_tables import SMALLEST, voc_color
from scdm.layouts.palette import Palette, palette_names
from scdm.layouts.swatches import export

NAMES = ("background", "road", "sky", "traffic light")
COLORS = ((0, 0, 0), (128, 64, 128), (70, 130, 180), (250, 170, 30))
VOC = ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))


def read(path: Path, content: str | bytes) -> tuple[Palette, list[str]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    remarks: list[str] = []
    return Palette.from_file(path, remarks.append), remarks


def rows(form: str) -> str:
    values = zip(range(4), NAMES, COLORS, strict=True)
    return "".join(form.format(i=i, name=name, r=r, g=g, b=b) for i, name, (r, g, b) in values)


MAPPINGS: list[dict[str, Any]] = [{"name": n, "color": [*c]} for n, c in zip(NAMES, COLORS, strict=True)]
LABEL_MAP = {str(i): name for i, name in enumerate(NAMES)}

TABLES = {
    "labelmap.txt": "# label:color_rgb:parts:actions\n" + rows("{name}:{r},{g},{b}::\n"),
    "named otherwise.csv": rows("{name}:{r},{g},{b}::\r\n"),
    "with-a-mark.txt": "\ufeff" + rows("{name}:{r},{g},{b}:part,other:act\n"),
    "a.gpl": "GIMP Palette\nName: street\nColumns: 4\n#\n" + rows("{r:3} {g:3} {b:3}\t{name}\n"),
    "rgba.gpl": "GIMP Palette\nChannels: RGBA\n" + rows("{r} {g} {b} 255 {name}\n"),
    "dataset_meta.json": json.dumps({"label_map": LABEL_MAP, "segmentation_colors": COLORS}),
    "listed.json": json.dumps({"label_map": NAMES, "segmentation_colors": COLORS}),
    "config.json": json.dumps({"version": 1.1, "labels": [{**m, "readable": "X", "evaluate": True} for m in MAPPINGS]}),
    "class_dict.csv": "name,r,g,b\n" + rows("{name},{r},{g},{b}\n"),
    "spaced.csv": "id; Class Name; Red; Green; Blue\n" + rows("{i}; {name}; {r}; {g}; {b}\n"),
    "hex.csv": "label,color\n" + rows("{name},#{r:02x}{g:02x}{b:02x}\n"),
    "label_colors.txt": rows("{r} {g} {b}\t{name}\n"),
    "last.txt": rows("{name} {r} {g} {b}\n"),
    "numbered.txt": rows("{i} {name} {r} {g} {b}\n"),
    "slicer.ctbl": "# Color table file\n" + rows("{i} {name} {r} {g} {b} 255\n"),
    "FreeSurferColorLUT.txt": "#No. Label Name: R G B A\n" + rows("{i}  {name}  {r} {g} {b} 0\n"),
    "itk-snap.txt": "# ITK-SnAP Label Description File\n" + rows('{i} {r} {g} {b} 1 1 1 "{name}"\n'),
    "list.json": json.dumps(MAPPINGS),
    "cvat.json": json.dumps([{**m, "id": 10**6 + i, "attributes": []} for i, m in enumerate(MAPPINGS)]),
    "coco.json": json.dumps({"categories": [{**m, "id": i, "isthing": 0} for i, m in enumerate(MAPPINGS)]}),
    "meta.json": json.dumps({"classes": [{"title": m["name"], "id": 7, "color": m["color"]} for m in MAPPINGS]}),
    "colors.json": json.dumps(dict(zip(NAMES, COLORS, strict=True))),
    "ours, British.json": json.dumps({"classes": [{"name": m["name"], "colour": m["color"]} for m in MAPPINGS]}),
    "ours.json": json.dumps({"classes": MAPPINGS}),
    "ours.txt": "classes:\n" + rows("- {{name: {name}, color: [{r}, {g}, {b}]}}\n"),
}


IDS_TOLD = (
    "dataset_meta.json",
    "listed.json",
    "numbered.txt",
    "spaced.csv",
    "coco.json",
    "slicer.ctbl",
    "FreeSurferColorLUT.txt",
    "itk-snap.txt",
)


@pytest.mark.parametrize("name", TABLES)
def test_names_and_colours_are_read(name: str, tmp_path: Path) -> None:
    palette, remarks = read(tmp_path / name, TABLES[name])
    assert (palette.names, palette.colors) == (NAMES, COLORS)
    assert bool(remarks) != (name in IDS_TOLD or name.startswith("ours"))
    assert all("ids of its 4 classes follow their order, from background (0)" in remark for remark in remarks)


WITHOUT_COLORS = {
    "labelmap.txt": "# label:color_rgb:parts:actions\n" + rows("{name}:::\n"),
    "labels.txt": "__ignore__\n" + rows("{name}\n"),
    "_classes.csv": "Pixel Value, Class\n" + rows("{i}, {name}\n"),
    "coco.txt": rows("{i}: {name}\n"),
    "spaced.txt": rows("{i} {name}\n"),
    "id2label.json": json.dumps(LABEL_MAP),
    "config.json": json.dumps({"architectures": ["Segformer"], "id2label": LABEL_MAP}),
    "label2id.json": json.dumps({name: i for i, name in enumerate(NAMES)}),
    "data.yaml": "nc: 4\nnames:\n" + rows("  {i}: {name}\n"),
    "names.yaml": "names: [background, road, sky, traffic light]\n",
}


@pytest.mark.parametrize("name", WITHOUT_COLORS)
def test_names_without_colours_get_those_of_pascal_voc(name: str, tmp_path: Path) -> None:
    palette, remarks = read(tmp_path / name, WITHOUT_COLORS[name])
    assert (palette.names, palette.colors) == (NAMES, VOC)
    assert len(remarks) == 1 and "no colours: those of PASCAL VOC" in remarks[0]
    assert ("__ignore__ is no class" in remarks[0]) == (name == "labels.txt")


def test_voc_colours_are_the_published_ones() -> None:
    assert [tuple(voc_color(i)) for i in (0, 1, 2, 3, 4, 8, 20, 255)] == [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (64, 0, 0), (0, 64, 128), (224, 224, 192),
    ]  # fmt: skip


def test_ids_that_are_given_are_kept(tmp_path: Path) -> None:
    palette, _ = read(tmp_path / "_classes.csv", "Pixel Value, Class\n3, sky\n1, road\n")
    assert palette.names == ("unused 0", "road", "unused 2", "sky")
    assert palette.colors == (None, VOC[1], None, VOC[3])
    palette, _ = read(tmp_path / "coco.json", '{"categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]}')
    assert (palette.num_classes, palette.names[3]) == (4, "car")


def test_classes_without_a_colour_stay_so_beside_others(tmp_path: Path) -> None:
    palette, _ = read(tmp_path / "labelmap.txt", "background:0,0,0::\nroad:::\n")
    assert palette.colors == ((0, 0, 0), None)


@pytest.mark.parametrize("suffix", [".gpl", ".kpl"])
@pytest.mark.parametrize("name", [*palette_names(), "ade20k_golden_angle", "odd"])
def test_palettes_that_we_export_are_read_back(name: str, suffix: str, tmp_path: Path) -> None:
    odd = Palette(
        "odd one",
        ("sky (blue)", "nothing", "road: dry", "sea", "Möwe 鳥"),
        ((1, 2, 3), None, (4, 5, 6), (1, 2, 3), (7, 8, 9)),
        unlabelled=1,
        edge_channel=True,
        note="a note: with a colon",
    )
    palette = odd if name == "odd" else Palette.named(name)
    export(palette, tmp_path / f"palette{suffix}")
    assert Palette.from_file(tmp_path / f"palette{suffix}", lambda sentence: None) == palette


def test_a_changed_palette_whose_comment_tells_other_ids_is_refused(tmp_path: Path) -> None:
    export(Palette.named("ade20k"), tmp_path / "ade20k.gpl")
    text = (tmp_path / "ade20k.gpl").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="ids of other classes than its 151 colours: remove the comment"):
        read(tmp_path / "more.gpl", text + "1 2 3\tnew\n")


BROKEN = {
    "a.txt": "This is a text. It tells of things.\n",
    "twice.txt": "road\nroad\n",
    "four.txt": "0 128 64 128\n1 0 0 0\n",
    "alpha.txt": "0 sky 128 64 128 130\n1 sea 1 2 3 77\n",
    "numbered.txt": "0 128 64 128 road\n1 0 0 0 sky\n",
    "numbers.txt": "sky\nsea 1 2 3\n",
    "floats.txt": "0 0.5 0.5 0.5 road\n1 0.1 0.2 0.3 sky\n",
    "a.gpl": "GIMP Palette\nName: x\n1 2\tsky\n",
    "none.gpl": "GIMP Palette\nName: x\n",
    "a.csv": "id,name\n1,sky\n2\n",
    "ids.csv": "id,name\nx,sky\n",
    "high.txt": "sky:300,0,0::\n",
    "a.json": '{"shapes": [], "version": "5"}',
    "number.json": "5",
    "empty.json": "{}",
    "some.json": '[{"name": "a", "id": 0}, {"name": "b"}]',
    "list.json": '["sky", "sea"]',
    "bare.json": '{"classes": ["sky", "sea"]}',
    "text.json": '{"classes": "sky"}',
    "meta.json": '{"label_map": {"0": "a"}, "segmentation_colors": []}',
    "twice.json": '{"label_map": {"0": "a", "00": "b"}}',
    "labels.json": '{"labels": 5}',
    "empty.txt": "",
    "picture.png": "\x89PNG",
    "latin.txt": "Stra\udcdfe",
    "a.kpl": "PK\3\4",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_class_table_is_named_with_one_that_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(BROKEN[name].encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as caught:
        Palette.from_file(path, lambda sentence: None)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900
    if name in ("a.txt", "a.json", "number.json", "empty.json", "text.json", "empty.txt", "picture.png", "latin.txt"):
        assert SMALLEST in str(caught.value)


def test_palettes_of_krita_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for text, complaint in (
        ('<ColorSet><ColorSetEntry name="a"><CMYK c="1"/></ColorSetEntry></ColorSet>', "no sRGB colour"),
        ('<ColorSet><ColorSetEntry name="a"><sRGB r="x" g="0" b="0"/></ColorSetEntry></ColorSet>', "from 0 to 1"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><ColorSet/>', "damaged"),
        ("<ColorSet/>", "no class"),
        ("<ColorSet", "damaged"),
    ):
        with zipfile.ZipFile(tmp_path / "a.kpl", "w") as archive:
            archive.writestr("colorset.xml", text)
        with pytest.raises(ValueError, match=complaint):
            Palette.from_file(tmp_path / "a.kpl", lambda sentence: None)


def test_the_command_line_reads_them_and_says_what_it_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.array([[1, 1, 1, 3]], dtype=np.uint8)).save(tmp_path / "layout.png")
    (tmp_path / "labelmap.txt").write_text(TABLES["labelmap.txt"])
    assert main(["inspect", str(tmp_path / "layout.png"), "--palette", str(tmp_path / "labelmap.txt")]) == 0
    told = capsys.readouterr()
    assert "75.00%    1  road" in told.out and "25.00%    3  traffic light" in told.out
    assert "follow their order, from background (0)" in told.err


def test_numbers_of_names_are_none_of_colours(tmp_path: Path) -> None:
    palette, _ = read(tmp_path / "a.txt", "0 zone 1 255 0 0\n1 zone 2 0 255 255\n")
    assert palette.names == ("zone 1", "zone 2") and palette.colors == ((255, 0, 0), (0, 255, 255))


def test_the_levels_of_machine_colours_are_values(tmp_path: Path) -> None:
    content = json.dumps({"car": [1, 1, 1], "road": [2, 2, 2]})
    palette, remarks = read(tmp_path / "obj_class_to_machine_color.json", content)
    assert palette.names == ("car", "road") and palette.colors == (None, None)
    assert len(remarks) == 1 and "its levels 1 to 2 are the values of label maps" in remarks[0]
    labels = palette.to_labels(Image.fromarray(np.array([[0, 1, 2]], np.uint8)), remark=remarks.append)
    assert labels.ids.tolist() == [[[2, 0, 1]]]
