"""The pieces that `make bench` is made of. Nothing here measures time."""

from __future__ import annotations

import json

import pytest

from bench import interval, report, results, wire
from bench.interval import Interval
from bench.results import Result, judge


def parse(chunks):
    texts, controls = [], []
    parser = wire.Parser(lambda opcode, payload: controls.append((opcode, payload)))
    for chunk in chunks:
        parser.feed(chunk, lambda buffer, start, stop: texts.append(buffer[start:stop]))
    return texts, controls


def read_masked(data):
    """Payload of one client frame, by the letter of RFC 6455."""
    length, at = data[1] & 127, 2
    if length > 125:
        size = 2 if length == 126 else 8
        length, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    assert data[1] & 128, "a client masks"
    key, payload = data[at : at + 4], data[at + 4 :]
    assert len(payload) == length
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


class TestWire:
    @pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
    def test_a_frame_carries_its_payload_masked(self, length):
        payload = bytes(index % 251 for index in range(length))
        assert read_masked(wire.frame(payload)) == payload

    @pytest.mark.parametrize("before", ["", "a", "ab", "abc", "abcd", "é" * 90])
    def test_a_template_differs_only_in_its_number(self, before):
        template = wire.Template(before + '{"ref": "%REF%"} and more')
        for number in (0, 7, 9_999_999_999):
            assert read_masked(template.frame(number)).decode() == f'{before}{{"ref": "{number:010}"}} and more'

    @pytest.mark.parametrize("size", [1, 2, 3, 1_000_000])
    def test_the_parser_finds_frames_however_they_are_cut(self, size):
        payloads = [b"x" * length for length in (0, 1, 125, 126, 70_000)]
        stream = b"".join(wire.header(wire.TEXT, len(p), masked=False) + p for p in payloads)
        stream += wire.header(wire.PING, 2, masked=False) + b"hi"
        texts, controls = parse(stream[at : at + size] for at in range(0, len(stream), size))
        assert texts == payloads
        assert controls == [(wire.PING, b"hi")]


class TestInterval:
    def test_holds_its_median_and_stays_within_what_was_measured(self):
        measured = interval.median_interval([5.0, 1.0, 9.0, 4.0, 6.0, 5.5, 4.5])
        assert measured.value == 5.0
        assert 1.0 <= measured.low <= measured.value <= measured.high <= 9.0

    def test_ratios_are_taken_within_a_round(self):
        assert interval.ratio_interval([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == Interval(2.0, 2.0, 2.0)

    def test_nothing_measured_is_no_result(self):
        with pytest.raises(ValueError, match="nothing was measured"):
            interval.median_interval([])

    def test_a_percentile_is_one_of_the_values(self):
        assert interval.percentile(range(1, 101), 0.99) == 100
        assert interval.percentile([3.0], 0.99) == 3.0


class TestResults:
    @pytest.mark.parametrize(
        ("target", "met"),
        [("<= 0.60 x", True), ("<= 0.59 x", False), (">= 0.40 x", True), (">= 0.41 x", False), (None, None)],
    )
    def test_a_target_is_met_when_the_whole_interval_is_on_its_side(self, target, met):
        assert judge("route", Interval(0.5, 0.4, 0.6), target).met is met

    def test_what_was_not_measured_now_stays(self, tmp_path, monkeypatch):
        monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
        monkeypatch.setattr(results, "RECORD", tmp_path / "record.json")
        results.save([Result("route", "<= 1 x", 0.5, 0.4, 0.6, True), Result("old", None, 1, 1, 1, None)], {"route": 1})
        results.save([Result("route", "<= 1 x", 2, 2, 2, False)], {"idle": 2})
        kept = json.loads(results.RESULTS.read_text())
        assert [set(entry) for entry in kept] == [{"row", "target", "value", "low", "high", "met"}] * 2
        assert {entry["row"]: entry["value"] for entry in kept} == {"route": 2, "old": 1}
        assert results.load_record() == {"route": 1, "idle": 2}

    @pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.5, "0.50"), (12.34, "12.3"), (12_345.6, "12,346")])
    def test_numbers_have_three_figures(self, value, text):
        assert results.number(value) == text


class TestReport:
    @pytest.mark.parametrize(
        ("target", "interval", "verdict"),
        [
            ("<= 2 x", Interval(1, 1, 2), "met"),
            ("<= 2 x", Interval(2, 1, 3), "**missed by 50%**"),
            (">= 10 x", Interval(10, 5, 12), "**missed by 50%**"),
            ("<= 0 %", Interval(0, 0, 3), "**missed by 3.00**"),
            (None, Interval(1, 1, 1), ""),
        ],
    )
    def test_a_missed_target_says_by_how_much(self, target, interval, verdict):
        assert report.shortfall(judge("route", interval, target)) == verdict

    def test_only_what_is_between_the_markers_is_renewed(self, tmp_path):
        page = tmp_path / "page.md"
        page.write_text("before\n<!-- begin results -->\nold\n<!-- end results -->\nafter\n")
        report.fill(page, {"results": "new \\1"})
        assert page.read_text() == "before\n<!-- begin results -->\nnew \\1\n<!-- end results -->\nafter\n"

    def test_the_page_has_every_marker(self):
        text = report.PAGE.read_text()
        assert all(f"<!-- begin {name} -->" in text for name in ("results", "machine", "plot"))
