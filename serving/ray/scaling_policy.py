"""How many replicas a load needs: called by Ray Serve's controller, which gets this file's code by
value, so it imports nothing."""


def follow_load(context):  # type: ignore[no-untyped-def]
    """The number of replicas that Serve is to have, and what the policy remembers (nothing).

    Each replica says which share of its time its loop was busy. Their sum is the load, in loops.
    Enough replicas are wanted that each is busy for ``full`` of its time at most, and a replica
    leaves only where the others would then be busy for less than ``slack``: else it would be
    called back at once. Serve itself keeps to the range and waits before each step.
    """
    full, slack = 0.6, 0.45
    now = context.target_num_replicas
    said = (context.aggregated_metrics or {}).get("busy") or {}
    if not said:
        return now, {}
    # Replicas that have not spoken yet are taken for as busy as those that have.
    load = sum(said.values()) / len(said) * max(context.current_num_replicas, 1)
    wanted = now
    while wanted * full < load:
        wanted += 1
    while wanted > 1 and (wanted - 1) * slack >= load:
        wanted -= 1
    return wanted, {}
