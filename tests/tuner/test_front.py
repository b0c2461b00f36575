from __future__ import annotations

import msgspec
import run_factory as factory

from gputune import front
from gputune.cost import Point
from gputune.record import Run
from gputune.report import console

FEWER = factory.GOOD.replace(num_workers=2)


def made(*points: tuple[object, float, float]) -> Run:
    listed = [Point(settings=s, samples_per_s=rate, cost=cost) for s, rate, cost in points]
    return msgspec.structs.replace(factory.run(), front=listed, options={"prefer": "cheapest"})


def test_every_point_says_what_it_is_to_the_user():
    run = made((factory.MAIN, 100.0, 0.0), (FEWER, 250.0, 2.1), (factory.GOOD, 500.0, 3.2))
    found = front.offers(run)
    assert [offer.role for offer in found] == ["yours", "", "recommended"]
    assert [offer.of_fastest for offer in found] == [0.2, 0.5, 1.0]
    assert found[1].settings.startswith("num_workers=2")
    text = console.render(run)
    assert "Speed against cost in workers (--prefer cheapest)" in text
    assert max(map(len, text.splitlines())) <= 78


def test_without_a_recommendation_the_ends_are_named():
    run = msgspec.structs.replace(made((FEWER, 250.0, 2.1), (factory.GOOD, 500.0, 3.2)), recommendation=None)
    assert [offer.role for offer in front.offers(run)] == ["cheapest", "fastest"]


def test_a_single_point_is_no_choice_and_not_shown():
    assert "Speed against cost" not in console.render(made((factory.GOOD, 500.0, 3.2)))
    assert front.offers(factory.run()) == []
