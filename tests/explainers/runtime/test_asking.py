"""Turns are among people, however many questions one of them has."""

import threading
import time

import pytest

from explainers.runtime import asking
from explainers.runtime.types import Source
from model_zoo.types import UserError


class Line:
    """A lane that answers when it is told to."""

    def __init__(self):
        self.tasks = []

    def submit(self, task):
        self.tasks.append(task)
        return task


def ask(one, number, owner):
    thread = threading.Thread(target=one.ask, args=("look", number, Source("quick"), number, owner))
    thread.start()
    return thread


def test_an_owner_is_who_asks_and_has_so_many_questions(monkeypatch):
    monkeypatch.setattr(asking, "WAITING", 3)
    line = Line()
    one = asking.Asking(line, 20)
    threads = [ask(one, number, "a") for number in range(3)]
    threads.append(ask(one, 9, "b"))
    while len(line.tasks) < 4:
        time.sleep(0.01)
    assert sorted(task.owner for task in line.tasks) == ["a", "a", "a", "b"]
    with pytest.raises(UserError, match="3 of your questions are waiting already"):
        one.ask("look", 4, Source("quick"), 4, "a")
    threads.append(ask(one, 2, "a"))  # the same question again is no other one
    for task in line.tasks:
        task.future.set_result(None)
    for thread in threads:
        thread.join(10)
    line.tasks.clear()
    last = ask(one, 5, "a")
    while not line.tasks:
        time.sleep(0.01)
    line.tasks[0].future.set_result(None)
    last.join(10)
