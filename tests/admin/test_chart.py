"""Chart: numbers over time as lines."""

from __future__ import annotations

from django_electric.admin.chart import HEIGHT, WIDTH, chart


def test_time_goes_from_left_to_right_and_values_from_the_ground_up() -> None:
    found = chart([(100.0, 0.0), (105.0, 5.0), (110.0, 10.0)], str, 15)
    assert found.lines == (f"0.0,{HEIGHT}.0 {WIDTH / 2:.1f},{HEIGHT / 2:.1f} {WIDTH}.0,0.0",)
    assert found.ticks == ((HEIGHT, "0.0"), (HEIGHT / 2, "5.0"), (0.0, "10.0"))
    assert found.latest == "10.0"


def test_a_line_breaks_where_nothing_was_measured() -> None:
    found = chart([(0.0, 1.0), (5.0, 1.0), (60.0, 1.0), (65.0, 1.0)], str, 15)
    assert len(found.lines) == 2


def test_the_scale_ends_at_a_round_number_of_units() -> None:
    found = chart([(0.0, 3_000.0)], lambda value: f"{value / 1024:g}", 15, unit=1024)
    assert [text for _, text in found.ticks] == ["0", "2.5", "5"]


def test_without_points_there_is_no_line() -> None:
    assert chart([], str, 15).lines == ()


def test_one_point_and_zeros_are_drawn_too() -> None:
    assert chart([(5.0, 0.0)], str, 15).lines == (f"0.0,{HEIGHT}.0",)
