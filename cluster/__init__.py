"""Cluster: many nodes' stores as one, behind the same `Store` interface as one node's.

What comes here, in a later issue: Raft as a pure state machine, a transport over ZeroMQ, the map from the 65,536 slots
to partitions and nodes, transactions across partitions, rebalancing, and the simulator that drives all of it from one
seed. It imports `phantomdb.core`, never a frontend.
"""
