from ipfs.kad.keyspace import key_of
from tests.support.kad import CAT, nearest
from tests.support.kad_simulation import K, Simulation


def test_with_three_in_ten_sybils_around_a_key_and_churn_its_provider_is_found() -> None:
    simulation = Simulation(500)
    key = CAT.multihash
    around = nearest(key_of(key), simulation.nodes, 5 * K)
    simulation.conspire(simulation.random.sample(around, int(0.3 * len(around))))
    provider = simulation.live()[0]
    keepers = {*simulation.walk(provider, key, paths=3).closest} - {*simulation.sybils}
    simulation.dies(0.2)

    for asker in simulation.random.sample(simulation.live(), 50):
        walk = simulation.walk(asker, key, paths=3)
        assert keepers & {*walk.asked} - simulation.dead, "somebody who keeps the record was asked"
