from hypothesis import given
from hypothesis import strategies as st

from gputune.probes.protocol import Gate
from gputune.probes.settings import Settings
from gputune.record import Machine
from gputune.space import Space, build

GIB = 1 << 30
MACHINE = Machine(effective_cpus=8.0, shm_free_bytes=4 * GIB, memory_available_bytes=16 * GIB)


def test_the_users_own_settings_are_always_in_the_space():
    mine = Settings.make(num_workers=7, prefetch_factor=3)
    assert mine in build(mine, MACHINE).candidates()


def test_batches_in_flight_stay_within_half_of_shared_memory():
    space = build(Settings(), MACHINE, batch_bytes=200 << 20)
    assert space.candidates()
    assert all(s.num_workers * ((s.prefetch_factor or 0) + 1) * (200 << 20) <= 2 * GIB for s in space.candidates())


def test_workers_and_batches_together_stay_within_memory():
    space = build(Settings(), MACHINE, worker_bytes=GIB, batch_bytes=100 << 20)
    taken = [s.num_workers * (GIB + ((s.prefetch_factor or 0) + 1) * (100 << 20)) for s in space.candidates()]
    assert max(taken) <= 0.8 * 16 * GIB


def test_a_full_shared_memory_leaves_only_the_training_thread():
    space = build(Settings(), Machine(effective_cpus=8.0, shm_free_bytes=0), batch_bytes=1 << 20)
    assert {s.num_workers for s in space.candidates()} == {0}


def test_cpu_bound_loaders_get_few_workers_more_than_cores():
    assert max(build(Settings(), MACHINE, cpu_bound=True).choices["num_workers"]) <= 12


def test_semantic_settings_stay_put_unless_allowed():
    assert build(Settings(), MACHINE).choices["in_order"] == (True,)
    assert set(build(Settings(), MACHINE, allow=["in_order"]).choices["in_order"]) == {True, False}


def test_pinning_is_searched_only_with_an_accelerator():
    assert build(Settings(), MACHINE).choices["pin_memory"] == (False,)
    assert set(build(Settings(), MACHINE, accelerator=True).choices["pin_memory"]) == {False, True}


def test_a_gate_removes_values_and_says_why():
    gate = Gate(setting="num_workers", allowed=[0, 1], reason="the dataset holds an open file")
    space = build(Settings(), MACHINE, gates=[gate])
    assert set(space.choices["num_workers"]) == {0, 1}
    assert gate.reason in space.cuts


def test_restricted_values_are_the_only_ones():
    space = build(Settings(), MACHINE, restrict={"num_workers": (0, 3)})
    assert {s.num_workers for s in space.candidates()} == {0, 3}


@given(workers=st.integers(0, 64), prefetch=st.sampled_from([1, 2, 4, 8, 16]), batch=st.integers(0, GIB))
def test_every_candidate_is_allowed(workers, prefetch, batch):
    mine = Settings.make(num_workers=workers, prefetch_factor=prefetch)
    space: Space = build(mine, MACHINE, batch_bytes=batch)
    assert all(space.allows(s) for s in space.candidates())
