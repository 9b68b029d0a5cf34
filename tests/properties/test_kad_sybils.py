from ipfs.kad.keyspace import key_of
from tests.support.kad import CAT, nearest
from tests.support.kad_simulation import K, Simulation

KEY = CAT.multihash


def test_with_three_in_ten_sybils_around_a_key_and_churn_its_provider_is_found() -> None:
    simulation = Simulation(500)
    around = nearest(key_of(KEY), simulation.nodes, 5 * K)
    simulation.conspire(simulation.random.sample(around, int(0.3 * len(around))))
    provider = simulation.live()[0]
    keepers = {*simulation.walk(provider, KEY, paths=3).closest} - {*simulation.sybils}
    simulation.dies(0.2)
    for asker in simulation.random.sample(simulation.live(), 50):
        assert simulation.finds(asker, KEY, provider, keepers - simulation.dead, paths=3)


def test_a_crowd_of_ids_in_one_network_around_a_key_hides_no_provider() -> None:
    simulation = Simulation(500)
    provider = simulation.live()[0]
    simulation.crowd(KEY, 100)
    keepers = {*simulation.walk(provider, KEY, paths=3).closest} - {*simulation.sybils}
    assert len(keepers) >= K - 3
    for asker in simulation.random.sample(simulation.live(), 50):
        assert simulation.finds(asker, KEY, provider, keepers, paths=3)
