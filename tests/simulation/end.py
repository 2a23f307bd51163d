"""When all is over: every delivery has an end that something explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model.delivery import FINAL_STATES, State

if TYPE_CHECKING:
    from gateway.config import Instance
    from gateway.outbox.standing import Standing
    from tests.simulation.platforms import Peer, Posted
    from tests.simulation.world import Simulation


def check_the_end(world: Simulation) -> None:
    """Every delivery is in a state that is final and deserved, and what the platform has counts as delivered."""
    for one, where in world.standings().items():
        known = world.posted[one]
        for name, at in where.items():
            world.counts[f"ended {at.state}"] += 1
            world.say(f"{name}: {one} is {at.state} {at.code}")
            final = at.state in FINAL_STATES or at.state is State.RECEIVED
            world.check(final, f"{name}: {one} is {at.state} in the end: {at.code} {at.message}")
            peer = world.peers[name]
            unsure = one in peer.troubled or at.code == "discarded" or peer.spare[one]
            world.check(
                not peer.taken[one] or unsure or at.state in (State.DELIVERED, State.RECEIVED),
                f"{name}: {one} arrived and counts as {at.state}: {at.code}",
            )
            deserved = _is_deserved(world, known, peer, world.instances[name], at)
            world.check(deserved, f"{name}: {one} is {at.state} without cause: {at.code} {at.message}")


def _is_deserved(world: Simulation, known: Posted, peer: Peer, instance: Instance, at: Standing) -> bool:
    """Whether something that happened explains such an end."""
    event, past = known.event, world.past
    troubled = event["event_id"] in peer.troubled
    aged = instance.max_age_s is not None and (
        world.clock.now() - event["event_time"] > instance.max_age_s or "the clock was wrong" in past
    )
    match at.state, at.code:
        case (State.DELIVERED | State.RECEIVED, _):
            return True  # the platform was asked already
        case (State.DEAD, "payload_gone"):
            return "payloads dropped" in past
        case (State.DEAD, _):
            return troubled
        case (State.EXPIRED, _) | (State.SKIPPED, "too_old"):
            return aged
        case (State.CANCELLED, "consent_withdrawn" | "consent_denied") if known.person in world.once_denied:
            return True
        case (State.SKIPPED, "consent"):
            return peer.name in known.held
        case (State.SKIPPED | State.CANCELLED, "not_routed"):
            return event.get("destinations", {}).get(peer.name) is False
        case (State.SKIPPED | State.CANCELLED, "event_not_mapped"):
            return event["event_name"] not in instance.names or "names changed" in past
        case (State.SKIPPED, "superseded" | "original_not_delivered"):
            return instance.destination.serial_key is not None
        case (State.CANCELLED, "discarded"):
            return troubled or "payloads dropped" in past
        case (State.CANCELLED, _):
            return known.consent(instance, strict="strict" in past) == "no"
        case (State.DRY_RUN, _):
            return bool(event.get("test", False))
    return False
