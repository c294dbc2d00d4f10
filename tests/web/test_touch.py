"""Fingers and pens as the browser itself makes their events: what paints, what moves the view, and which hand only rests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from .conftest import UNPAINTED, Board

Put = Callable[..., Board]
Place = tuple[float, float]
FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
SOON = 300  # milliseconds, in which moves that count would have come


class Hands:
    """Fingers and a pen at a browser, through its debugging protocol. Places are pixels of the painter's document."""

    def __init__(self, board: Board):
        self.board = board
        self.session = board.page.context.new_cdp_session(board.page)

    def fingers(self, kind: str, *places: Place) -> None:
        """All fingers that are down from now on; the first to come is number 0."""
        self.on_screen(kind, *(self.board.place(*place) for place in places))

    def on_screen(self, kind: str, *places: Sequence[float]) -> None:
        """The same, in pixels of the page."""
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        self.session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
        self.board.page.evaluate(FRAMES)  # in which the browser hands moves on

    def stroke(self, *places: Place) -> None:
        self.fingers("Start", places[0])
        for place in places[1:]:
            self.fingers("Move", place)
        self.fingers("End")

    def pen(self, kind: str, place: Place, force: float = 1.0) -> None:
        x, y = self.board.place(*place)
        pressed = {"button": "left", "buttons": 0 if kind == "Released" else 1, "clickCount": 1, "force": force}
        options = {"type": f"mouse{kind}", "x": x, "y": y, "pointerType": "pen", **pressed}
        self.session.send("Input.dispatchMouseEvent", options)

    @property
    def zoom(self) -> float:
        return self.board.get("view.zoom")


@pytest.fixture
def hands(painter: Put) -> Iterator[Hands]:
    hands = Hands(painter())
    yield hands
    hands.session.detach()


def test_one_finger_paints(hands: Hands) -> None:
    hands.stroke((10, 20), (20, 20), (40, 20))
    board = hands.board
    assert (board.ids[20, 10:40] == 0).all() and board.ids[30, 20] == UNPAINTED and board.get("edits.length") == 1
    board.root.get_by_role("button", name="Eraser").tap()
    hands.stroke((10, 20), (41, 20))
    assert (board.ids == UNPAINTED).all(), "and tools are chosen by touch"


def test_two_fingers_zoom_and_move_and_paint_nothing(hands: Hands) -> None:
    board, zoom = hands.board, hands.zoom
    hands.fingers("Start", (20, 20))
    hands.fingers("Move", (22, 20))  # has painted already, when the second finger comes
    hands.fingers("Start", (22, 20), (32, 20))
    at = board.place(32, 20)
    (left, y), (right, _) = board.place(12, 20), board.place(42, 20)
    hands.on_screen("Move", (left, y), (right, y))
    assert hands.zoom == pytest.approx(3 * zoom, rel=0.02), "three times as far apart"
    hands.on_screen("Move", (left, y + 50), (right, y + 50))
    assert hands.zoom == pytest.approx(3 * zoom, rel=0.02) and board.place(32, 20)[1] > at[1] + 20
    hands.on_screen("End", (left, y + 50))  # the other finger is lifted
    hands.on_screen("Move", (left + 60, y + 50))
    hands.fingers("End")
    assert (board.ids == UNPAINTED).all() and board.get("edits.length") == 0
    hands.stroke((20, 20), (25, 20))
    assert (board.ids[20, 20:25] == 0).all(), "and one finger paints again"


@pytest.mark.parametrize("first", ["pen", "hand"])
def test_a_hand_that_rests_while_the_pen_paints_does_nothing(hands: Hands, first: str) -> None:
    board, zoom, corner = hands.board, hands.zoom, hands.board.place(0, 0)
    hand = [(50.0, 40.0), (55.0, 42.0)]
    if first == "hand":
        hands.fingers("Start", *hand)
    hands.pen("Pressed", (10, 10))
    if first == "pen":
        hands.fingers("Start", *hand)
    for step in range(4):
        hands.pen("Moved", (15 + 5 * step, 10))
        hands.fingers("Move", *((x + step, y + step) for x, y in hand))
    hands.pen("Released", (30, 10))
    hands.fingers("Move", *((x + 6, y) for x, y in hand))
    hands.fingers("End")
    board.page.wait_for_timeout(SOON)
    assert (board.ids[10, 10:30] == 0).all() and (board.ids[30:] == UNPAINTED).all() and board.get("edits.length") == 1
    assert hands.zoom == zoom and board.place(0, 0) == corner


def test_a_pens_pressure_is_the_width_of_its_line(hands: Hands) -> None:
    board = hands.board
    board.page.evaluate("painters[0].brushSize = 12")
    for y, force in ((12, 0.2), (36, 1.0)):
        hands.pen("Pressed", (10, y), force)
        hands.pen("Moved", (50, y), force)
        hands.pen("Released", (50, y), force)
    thin, thick = np.count_nonzero(board.ids[:24, 30] == 0), np.count_nonzero(board.ids[24:, 30] == 0)
    assert 0 < thin < thick / 2 and thick == 12
