"""A pipeline built again gives the same elements in the same order, and only what may change is changed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gputune.probes.tensorflow import private, recipes
from gputune.probes.tensorflow.pipeline import Pipeline
from gputune.probes.tensorflow.settings import AUTOTUNE, PipelineSettings

tf = pytest.importorskip("tensorflow")


@pytest.fixture(scope="module", autouse=True)
def recording():
    recipes.install(private.module(private.DATASET_OPS).DatasetV2)


def values(dataset):
    return [tf.nest.map_structure(lambda part: part.numpy().tolist(), element) for element in dataset]


def seeded(make):
    tf.random.set_seed(7)
    return make()


def shuffled():
    data = tf.data.Dataset.range(60).shuffle(30).map(lambda x: x * 2)
    return data.shuffle(10, seed=5).map(lambda x: (x, x + 1)).batch(8)


def test_this_tensorflow_has_every_name_we_need():
    assert private.missing_names() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"map_parallelism": 4, "prefetch": 2},
        {"map_parallelism": AUTOTUNE, "prefetch": AUTOTUNE, "batch_parallelism": 2},
        {"map_parallelism": 8, "private_threadpool_size": 8},
        {"autotune": False},
    ],
)
def test_the_same_elements_come_in_the_same_order_pass_after_pass(changes):
    user = seeded(shuffled)
    expected = [values(user), values(user)]
    pipeline = Pipeline(seeded(shuffled))
    built = pipeline.build(pipeline.own.replace(**changes))
    assert [values(built), values(built)] == expected
    assert expected[0] != expected[1], "a shuffle goes on from pass to pass"


def test_the_users_functions_are_not_traced_again():
    traced = []

    def work(x):
        traced.append(x)
        return x + 1

    pipeline = Pipeline(tf.data.Dataset.range(10).map(work).batch(2))
    built = pipeline.build(pipeline.own.replace(map_parallelism=4))
    assert values(built) == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert len(traced) == 1


def test_the_users_own_settings_give_the_users_own_dataset():
    dataset = tf.data.Dataset.range(4).map(lambda x: x, num_parallel_calls=3).batch(2).prefetch(5)
    pipeline = Pipeline(dataset)
    assert pipeline.own == PipelineSettings(map_parallelism=3, batch_parallelism=1, prefetch=5)
    assert pipeline.build(pipeline.own) is dataset


def test_the_same_settings_give_the_same_dataset_so_that_its_shuffle_goes_on():
    pipeline = Pipeline(shuffled())
    wanted = pipeline.own.replace(map_parallelism=2)
    assert pipeline.build(wanted) is pipeline.build(wanted)


def test_a_prefetch_is_replaced_or_taken_away_not_doubled():
    pipeline = Pipeline(tf.data.Dataset.range(4).batch(2).prefetch(1))
    deeper = Pipeline(pipeline.build(pipeline.own.replace(prefetch=8)))
    assert [stage.operation for stage in deeper.stages] == ["batch", "prefetch"]
    assert deeper.own.prefetch == 8
    without = Pipeline(pipeline.build(pipeline.own.replace(prefetch=0)))
    assert [stage.operation for stage in without.stages] == ["batch"]


def test_what_lies_before_a_cache_stays_the_very_same_so_that_the_cache_stays_full():
    made = []

    def work(x):
        made.append(int(x))
        return x

    counted = tf.data.Dataset.range(6).map(lambda x: tf.numpy_function(work, [x], tf.int64)).cache()
    pipeline = Pipeline(counted.map(lambda x: x + 1).batch(3))
    assert values(pipeline.dataset) == [[1, 2, 3], [4, 5, 6]]
    assert values(pipeline.build(pipeline.own.replace(map_parallelism=4, prefetch=2))) == [[1, 2, 3], [4, 5, 6]]
    assert len(made) == 6


@pytest.mark.parametrize(("cycle", "name"), [(3, 1), (None, None), (AUTOTUNE, None)])
def test_an_interleave_whose_order_follows_its_parallelism_is_left_alone(cycle, name):
    data = tf.data.Dataset.range(6).interleave(lambda x: tf.data.Dataset.from_tensors(x).repeat(4), cycle_length=cycle)
    pipeline = Pipeline(data.batch(4))
    assert pipeline.own.interleave_parallelism == name
    built = pipeline.build(pipeline.own.replace(interleave_parallelism=2))
    assert values(built) == values(pipeline.dataset)


def test_maps_that_disagree_are_left_open_and_can_still_be_set():
    data = tf.data.Dataset.range(8).map(lambda x: x + 1).map(lambda x: x * 2, num_parallel_calls=4)
    pipeline = Pipeline(data)
    assert pipeline.own.map_parallelism is None
    built = Pipeline(pipeline.build(pipeline.own.replace(map_parallelism=2)))
    assert built.own.map_parallelism == 2


def test_stages_know_their_lines_their_functions_and_whether_they_call_python():
    def plain(x):
        return x

    def calling(x):
        return tf.numpy_function(lambda value: value, [x], tf.int64)

    stages = Pipeline(tf.data.Dataset.range(4).map(plain).map(calling).batch(2)).stages
    assert [(stage.operation, stage.python) for stage in stages] == [("map", False), ("map", True), ("batch", False)]
    assert stages[1].function.endswith("calling")
    assert all(stage.file == __file__ and stage.line > 0 for stage in stages)


def test_options_of_the_user_are_read_and_kept():
    options = tf.data.Options()
    options.threading.private_threadpool_size = 3
    options.deterministic = True
    pipeline = Pipeline(tf.data.Dataset.range(4).map(lambda x: x).with_options(options))
    assert (pipeline.own.private_threadpool_size, pipeline.own.deterministic) == (3, True)
    built = pipeline.build(pipeline.own.replace(prefetch=2))
    assert built.options().threading.private_threadpool_size == 3


def test_a_release_that_moved_a_name_is_noticed(monkeypatch):
    monkeypatch.setitem(private._NEEDED, private.DATASET_OPS, ("DatasetV2.no_such_method",))
    assert private.missing_names() == [f"{private.DATASET_OPS}.DatasetV2.no_such_method"]


def test_a_dataset_made_by_someone_else_is_a_source():
    pipeline = Pipeline(tf.data.Dataset.range(4))
    assert pipeline.stages == []
    assert values(pipeline.build(pipeline.own.replace(prefetch=2))) == [0, 1, 2, 3]
    assert recipes.of(SimpleNamespace()) is None
