"""What clients miss while they are away, by the official SDKs."""

import os
import signal
import threading

from server import Server, token


def publications_missed_during_a_cut_come_afterwards_once(kit):
    cutter = kit.cutter()
    client = kit.connected(through=cutter)
    channel = kit.channel()
    client.subscribe(channel)
    kit.server.publish(channel, 1, 2, 3)
    assert client.data(channel, 3) == [1, 2, 3]
    cutter.cut()
    client.next("connecting")
    kit.server.publish(channel, *range(4, 50))
    cutter.mend()
    client.next("connected")
    again = client.next("subscribed", channel)
    assert again["was_recovering"] and again["recovered"], again
    kit.server.publish(channel, 50)
    assert client.data(channel, 47) == list(range(4, 51))
    assert not client.waiting("publication", channel)


def a_cut_where_nothing_was_missed_is_recovered_from(kit):
    cutter = kit.cutter()
    client = kit.connected(through=cutter)
    empty, used = kit.channel(), kit.channel()
    for channel in (empty, used):
        client.subscribe(channel)
    kit.server.publish(used, 1)
    client.data(used, 1)
    for _ in range(3):
        cutter.blink()
        for channel in (empty, used):
            again = client.next("subscribed", channel)
            assert again["was_recovering"] and again["recovered"], again
    kit.server.publish(empty, "first")
    assert client.data(empty, 1) == ["first"]
    assert not client.waiting("publication", used)


def nothing_is_lost_and_nothing_comes_twice_while_connections_are_cut_again_and_again(kit):
    cutter = kit.cutter()
    client = kit.connected(through=cutter)
    channel = kit.channel()
    client.subscribe(channel)
    done = threading.Event()
    count = 80

    def publish():
        for n in range(count):
            kit.server.publish(channel, n)
        done.set()

    publisher = threading.Thread(target=publish)
    publisher.start()
    heard, cuts = [], 0
    while len(heard) < count:
        if cuts < 6:
            cutter.blink()
            cuts += 1
            assert client.next("subscribed", channel)["recovered"]
            while client.waiting("publication", channel):
                heard.append(client.next("publication", channel))
        else:
            heard.append(client.next("publication", channel))
    publisher.join()
    assert [event["data"] for event in heard] == list(range(count))
    assert [event["offset"] for event in heard] == list(range(1, count + 1))
    assert not client.waiting("publication", channel)


def more_than_the_history_has_is_said_to_be_lost(kit):
    cutter = kit.cutter()
    client = kit.connected(through=cutter)
    channel = kit.channel("small")
    client.subscribe(channel)
    kit.server.publish(channel, 1)
    client.data(channel, 1)
    cutter.cut()
    client.next("connecting")
    kit.server.publish(channel, *range(2, 20))
    cutter.mend()
    again = client.next("subscribed", channel)
    assert again["was_recovering"] and not again["recovered"] and again["offset"] == 19, again
    kit.server.publish(channel, 20)
    assert client.data(channel, 1) == [20]


def a_history_that_was_removed_meanwhile_is_said_to_be_lost(kit):
    cutter = kit.cutter()
    client = kit.connected(through=cutter)
    channel = kit.channel()
    client.subscribe(channel)
    kit.server.publish(channel, 1, 2)
    client.data(channel, 2)
    cutter.cut()
    client.next("connecting")
    kit.server.publish(channel, 3)
    kit.server.api("history_remove", channel=channel)
    cutter.mend()
    again = client.next("subscribed", channel)
    assert again["was_recovering"] and not again["recovered"], again
    kit.server.publish(channel, 4)
    assert client.data(channel, 1) == [4]


def a_cache_gives_the_last_value_after_a_cut(kit):
    cutter = kit.cutter()
    client = kit.connected(through=cutter)
    channel = kit.channel("cache")
    client.subscribe(channel)
    kit.server.publish(channel, 1)
    client.data(channel, 1)
    cutter.cut()
    client.next("connecting")
    kit.server.publish(channel, 2, 3, 4)
    cutter.mend()
    again = client.next("subscribed", channel)
    assert again["was_recovering"] and again["recovered"], again
    kit.server.publish(channel, 5)
    assert client.data(channel, 2) == [4, 5]


def recovery_is_had_where_a_client_asks_for_it(kit):
    cutter = kit.cutter()
    client = kit.connected(through=cutter)
    asked, silent = kit.channel("asked"), kit.channel("asked")
    assert client.subscribe(asked, recoverable=True)["recoverable"]
    assert not client.subscribe(silent)["recoverable"]
    cutter.cut()
    client.next("connecting")
    for channel in (asked, silent):
        kit.server.publish(channel, 1)
    cutter.mend()
    assert client.next("subscribed", asked)["recovered"]
    assert not client.next("subscribed", silent)["recovered"]
    for channel in (asked, silent):
        kit.server.publish(channel, 2)
    assert client.data(asked, 2) == [1, 2]
    assert client.data(silent, 1) == [2]


def a_client_begins_at_a_position_that_the_application_gives(kit):
    client = kit.connected()
    channel = kit.channel()
    at = kit.server.publish(channel, 1, 2, 3, 4)
    client.begin("subscribe", channel=channel, since={"offset": 2, "epoch": at["epoch"]})
    client.next("state_asked", channel)
    client.next("subscribed", channel)
    assert client.data(channel, 2) == [3, 4]
    # A position that cannot be recovered is refused with 112, and the application is asked again.
    client = kit.connected()
    client.begin("subscribe", channel=channel, since={"offset": 2, "epoch": "another"})
    for _ in range(2):
        client.next("state_asked", channel)


def a_server_that_stops_says_3001_and_clients_come_back(kit):
    with Server(kit.server.kind, command=kit.server.command) as server:
        cutter = kit.cutter(server)
        client = kit.connected(through=cutter)
        channel = kit.channel()
        client.subscribe(channel)
        server.publish(channel, 1)
        assert client.data(channel, 1) == [1]
        server.stop()
        # Over HTTP, the end of the stream says as much.
        assert client.next("connecting")["code"] in ((3001,) if kit.kind.is_websocket else (3001, 1))
        server.start()
        client.next("connected")
        again = client.next("subscribed", channel)
        assert again["was_recovering"] and not again["recovered"], again
        server.publish(channel, 2)
        assert client.data(channel, 1) == [2]
        server.stop()


def a_client_that_answers_no_ping_is_closed_with_3012_and_recovers(kit):
    server = kit.stage.impatient
    agent = kit.stage.agent(kit.kind)
    try:
        kit.agent = agent
        client = kit.client(through=server)
        client.connect()
        channel = kit.channel()
        client.subscribe(channel)
        server.publish(channel, 1)
        client.data(channel, 1)
        os.kill(agent.process.pid, signal.SIGSTOP)
        try:
            while server.api("presence_stats", channel=channel)["num_clients"]:
                pass
            server.publish(channel, 2)
        finally:
            os.kill(agent.process.pid, signal.SIGCONT)
        ended = client.next("connecting")
        # Over HTTP the stream just ends; the Go SDK first fails to write its late answer.
        assert ended["code"] in ((3012,) if kit.kind.is_websocket and kit.kind.sdk != "go" else (3012, 1)), ended
        assert client.next("subscribed", channel)["recovered"]
        assert client.data(channel, 1) == [2]
    finally:
        agent.close()


def a_client_that_answers_pings_stays(kit):
    server = kit.stage.impatient
    client = kit.client(through=server)
    client.connect()
    channel = kit.channel()
    client.subscribe(channel)
    threading.Event().wait(4 * server.ping_s)
    server.publish(channel, 1)
    assert client.data(channel, 1) == [1]
    assert not client.waiting("connecting") and not client.waiting("disconnected")


def a_silent_server_is_noticed_by_its_missing_pings(kit):
    """What the server promises as its interval is what clients reckon with."""
    with Server(kit.server.kind, command=kit.server.command, ping_s=2, pong_s=1) as server:
        client = kit.client(through=server, max_ping_delay=1500)
        client.connect()
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            assert client.next("connecting")["code"] == 2
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        client.next("connected")


def server_side_subscriptions_recover_after_a_cut(kit):
    cutter = kit.cutter()
    channels = [kit.channel(), kit.channel("room")]
    given = token(600, sub=kit.user(), channels=channels)
    client = kit.connected(through=cutter, token=given)
    for channel in channels:
        client.next("server_subscribed", channel)
        kit.server.publish(channel, 1)
        assert client.data(channel, 1, "server_publication") == [1]
    cutter.cut()
    client.next("connecting")
    for channel in channels:
        kit.server.publish(channel, 2, 3)
    cutter.mend()
    for channel in channels:
        again = client.next("server_subscribed", channel)
        assert again["was_recovering"] and again["recovered"], again
        kit.server.publish(channel, 4)
        assert client.data(channel, 3, "server_publication") == [2, 3, 4]


TESTS = (
    publications_missed_during_a_cut_come_afterwards_once,
    a_cut_where_nothing_was_missed_is_recovered_from,
    nothing_is_lost_and_nothing_comes_twice_while_connections_are_cut_again_and_again,
    more_than_the_history_has_is_said_to_be_lost,
    a_history_that_was_removed_meanwhile_is_said_to_be_lost,
    a_cache_gives_the_last_value_after_a_cut,
    recovery_is_had_where_a_client_asks_for_it,
    a_client_begins_at_a_position_that_the_application_gives,
    a_server_that_stops_says_3001_and_clients_come_back,
    a_client_that_answers_no_ping_is_closed_with_3012_and_recovers,
    a_client_that_answers_pings_stays,
    a_silent_server_is_noticed_by_its_missing_pings,
    server_side_subscriptions_recover_after_a_cut,
)
