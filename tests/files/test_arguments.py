"""Arguments of programs: unknown ones are answered."""

from __future__ import annotations

import pytest

from scdm.files.arguments import Parser


def options() -> Parser:
    parser = Parser(prog="measure", description="First line.\n\n    kept as it is")
    parser.add_argument("--segmenter")
    kinds = parser.add_subparsers(metavar="KIND")
    kinds.add_parser("faces").add_argument("--workers", type=int)
    return parser


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("--segmentr=x", "measure: error: unrecognized arguments: --segmentr=x: did you mean '--segmenter'?"),
        ("faces --wokers=2", "measure faces: error: unrecognized arguments: --wokers=2: did you mean '--workers'?"),
        ("faces --photographs 2", "measure faces: error: unrecognized arguments: --photographs 2\n"),
        ("faces extra", "measure faces: error: unrecognized arguments: extra\n"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest_of_its_command(
    words: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options().parse_args(words.split())
    assert ended.value.code == 2 and answer in capsys.readouterr().err


def test_descriptions_keep_their_lines_and_known_options_are_read() -> None:
    assert "\n    kept as it is\n" in options().format_help()
    assert options().parse_args(["--segmenter", "x", "faces", "--workers", "2"]).workers == 2
