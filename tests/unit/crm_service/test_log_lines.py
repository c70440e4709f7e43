"""Log lines are written together, in order, and none is lost."""

import asyncio
import io
import json
import logging
from datetime import UTC, datetime

import pytest

from crm_service.log_lines import JoinedLinesHandler, LastingRecord
from crm_service.observability import JsonFormatter
from tests.support.waiting import eventually


class Stream(io.StringIO):
    """Remembers each write."""

    def __init__(self):
        super().__init__()
        self.writes = []

    def write(self, text):
        self.writes.append(text)
        return len(text)


@pytest.fixture
def log():
    stream = Stream()
    logger = logging.getLogger("test of log lines")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.handlers = [JoinedLinesHandler(stream)]
    return logger, stream.writes


async def test_the_lines_of_a_moment_are_one_write(log):
    """And come by themselves, again and again."""
    logger, writes = log
    for text in ("a", "b"):
        logger.info(text)
    assert writes == []
    await eventually(lambda: writes)
    assert writes == ["a\nb\n"]
    logger.info("c")
    await eventually(lambda: len(writes) == 2)
    assert writes[1] == "c\n"


async def test_a_warning_takes_along_what_stands_before_it(log):
    """It may be the last thing that is ever said."""
    logger, writes = log
    logger.info("a")
    logger.warning("b")
    assert writes == ["a\nb\n"]


async def test_many_lines_do_not_wait(log):
    """The memory for them is bounded."""
    logger, writes = log
    for number in range(200):
        logger.info("%s", number)
    assert "".join(writes) == "".join(f"{number}\n" for number in range(200))


async def test_the_end_of_the_process_writes_the_rest(log):
    """What ``logging.shutdown`` does."""
    logger, writes = log
    logger.info("a")
    logger.handlers[0].flush()
    assert writes == ["a\n"]


def test_without_an_event_loop_lines_are_written_at_once(log):
    """Also after one that ended with a line that waited."""
    logger, writes = log

    async def say():
        logger.info("a")

    asyncio.run(say())
    logger.info("b")
    assert writes == ["a\nb\n"]
    asyncio.run(say())
    asyncio.run(say())
    logger.handlers[0].flush()
    assert "".join(writes) == "a\nb\na\na\n"


def lasting(text):
    return LastingRecord("x", logging.INFO, __file__, 1, text, (), None)


async def test_lasting_records_become_lines_when_they_are_written(log):
    """In their order, among those that were made at once."""
    logger, writes = log
    made = []
    handler = logger.handlers[0]
    handler.setFormatter(logging.Formatter())
    handler.formatter.format = lambda record: made.append(record.msg) or record.getMessage()
    logger.handle(lasting("first"))
    logger.info("second")
    logger.handle(lasting("third"))
    assert made == ["second"]
    handler.flush()
    assert writes == ["first\nsecond\nthird\n"]
    assert made == ["second", "first", "third"]


async def test_a_lasting_record_that_cannot_be_printed_costs_only_itself(log, capsys):
    """Its fault is told as that of all other records."""
    logger, writes = log
    handler = logger.handlers[0]
    handler.setFormatter(logging.Formatter())
    handler.formatter.format = lambda record: {"first": "1", "second": "2"}[record.msg]
    for text in ("first", "neither", "second"):
        logger.handle(lasting(text))
    handler.flush()
    assert writes == ["1\n2\n"]
    assert "KeyError" in capsys.readouterr().err


@pytest.mark.parametrize("created", [0.0, 1764403199.9995, 1764403200.0, 1764403200.0625])
def test_a_line_says_when_to_the_millisecond(created):
    """In UTC, whether or not the line before was of the same second."""
    record = logging.makeLogRecord({"created": created, "msecs": created % 1 * 1000})
    told = json.loads(JsonFormatter().format(record))["at"]
    assert told == datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
