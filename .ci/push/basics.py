"""Connecting, subscribing, publishing and reading back, by the official SDKs."""

import re
import threading

from server import token


def a_client_without_a_token_is_anonymous_and_hears_what_it_publishes(kit):
    client = kit.client()
    connected = client.connect()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", connected["id"]), connected
    channel = kit.channel()
    subscribed = client.subscribe(channel)
    assert subscribed["recoverable"] and subscribed["positioned"] and not subscribed["was_recovering"], subscribed
    assert subscribed["offset"] == 0 and subscribed["epoch"], subscribed
    client.call("publish", channel=channel, data={"text": "hello"})
    heard = client.next("publication", channel)
    assert heard["data"] == {"text": "hello"} and heard["offset"] == 1, heard
    assert heard["info"]["client"] == connected["id"] and heard["info"]["user"] == "", heard


def two_clients_talk_to_each_other_in_order(kit):
    ann, bob = kit.connected(), kit.connected()
    channel = kit.channel()
    for client in (ann, bob):
        client.subscribe(channel)
    for n in range(40):
        (ann, bob)[n % 2].call("publish", channel=channel, data={"n": n})
    for client in (ann, bob):
        heard = [client.next("publication", channel) for _ in range(40)]
        assert [event["data"]["n"] for event in heard] == list(range(40))
        assert [event["offset"] for event in heard] == list(range(1, 41))


def publications_of_the_server_api_arrive_with_tags_and_as_they_are(kit):
    client = kit.connected()
    channel = kit.channel()
    client.subscribe(channel)
    values = [
        {"text": 'äöü "quoted" \\ \u2028 \U0001f600', "list": [1, -2.5, None, True, {"deep": {"er": []}}]},
        "text", 17, True, [], {}, {"large": "x" * 60_000},
    ]
    kit.server.publish(channel, *values, tags={"kind": "test", "of": kit.kind.sdk})
    for offset, value in enumerate(values, 1):
        heard = client.next("publication", channel)
        assert heard["data"] == value and heard["offset"] == offset, str(heard)[:200]
        assert heard["tags"] == {"kind": "test", "of": kit.kind.sdk} and not heard.get("info"), str(heard)[:200]


def a_large_publication_of_a_client_arrives_whole(kit):
    client = kit.connected()
    channel = kit.channel()
    client.subscribe(channel)
    value = {"large": "0123456789abcdef" * 3500}
    client.call("publish", channel=channel, data=value)
    assert client.data(channel, 1) == [value]


def bytes_that_are_no_json_arrive_as_they_are_over_protobuf(kit):
    if kit.kind.format != "protobuf":
        return
    client = kit.connected()
    channel = kit.channel()
    client.subscribe(channel)
    kit.server.api("publish", channel=channel, b64data="AAEC//4K")
    assert client.data(channel, 1) == [{"base64": "AAEC//4K"}]


def presence_has_the_clients_of_a_channel(kit):
    ann, bob = kit.connected(), kit.connected()
    channel = kit.channel()
    assert ann.call("presence", channel=channel) == {}
    assert ann.call("presence_stats", channel=channel) == {"clients": 0, "users": 0}
    for client in (ann, bob):
        client.subscribe(channel)
    assert set(ann.call("presence", channel=channel)) == {ann.id, bob.id}
    assert ann.call("presence_stats", channel=channel) == {"clients": 2, "users": 1}
    bob.call("unsubscribe", channel=channel)
    assert bob.next("unsubscribed", channel)["code"] == 0
    kit.wait_for_clients(channel, 1)
    assert set(ann.call("presence", channel=channel)) == {ann.id}
    assert ann.call("presence_stats", channel=channel) == {"clients": 1, "users": 1}


def presence_and_publications_carry_what_the_token_says_of_a_user(kit):
    user = kit.user()
    client = kit.connected(token=token(60, sub=user, info={"name": "Ann"}))
    channel = kit.channel()
    client.subscribe(channel)
    (person,) = client.call("presence", channel=channel).values()
    assert person["user"] == user and person["client"] == client.id and person["conn_info"] == {"name": "Ann"}, person
    client.call("publish", channel=channel, data=1)
    info = client.next("publication", channel)["info"]
    assert info["user"] == user and info["conn_info"] == {"name": "Ann"}, info


def joins_and_leaves_are_told_in_order(kit):
    ann = kit.connected()
    channel = kit.channel("room")
    ann.subscribe(channel)
    assert ann.next("join", channel)["info"]["client"] == ann.id
    bob = kit.connected()
    for _ in range(3):
        bob.subscribe(channel)
        assert ann.next("join", channel)["info"]["client"] == bob.id
        bob.call("unsubscribe", channel=channel)
        bob.next("unsubscribed", channel)
        assert ann.next("leave", channel)["info"]["client"] == bob.id
    bob.subscribe(channel)
    ann.next("join", channel)
    bob.call("disconnect")
    assert bob.next("disconnected")["code"] == 0
    assert ann.next("leave", channel)["info"]["client"] == bob.id


def joins_come_where_a_client_asks_for_them_and_else_not(kit):
    asks, silent = kit.connected(), kit.connected()
    channel = kit.channel("demo")
    silent.subscribe(channel)
    asks.subscribe(channel, join_leave=True)
    kit.connected().subscribe(channel)
    while asks.next("join", channel)["info"]["client"] == asks.id:
        pass
    kit.server.publish(channel, "later than the joins")
    assert silent.data(channel, 1) == ["later than the joins"]
    assert not silent.waiting("join", channel)


def history_is_read_forward_backward_and_in_pages(kit):
    client = kit.connected()
    channel = kit.channel()
    client.subscribe(channel)
    kit.server.publish(channel, *range(1, 11))
    top = client.call("history", channel=channel, limit=0)
    assert top["publications"] == [] and top["offset"] == 10 and top["epoch"], top
    epoch = top["epoch"]

    def read(**given):
        page = client.call("history", channel=channel, **given)
        assert page["offset"] == 10 and page["epoch"] == epoch, page
        assert all(one["offset"] == one["data"] for one in page["publications"]), page
        return [one["data"] for one in page["publications"]]

    assert read(limit=100) == list(range(1, 11))
    assert read(limit=-1) == list(range(1, 11))
    assert read(limit=3) == [1, 2, 3]
    assert read(limit=3, reverse=True) == [10, 9, 8]
    assert read(limit=100, since={"offset": 7, "epoch": epoch}) == [8, 9, 10]
    assert read(limit=2, since={"offset": 3, "epoch": epoch}) == [4, 5]
    assert read(limit=2, since={"offset": 4, "epoch": epoch}, reverse=True) == [3, 2]
    assert client.refused("history", channel=channel, limit=2, since={"offset": 1, "epoch": "another"}) == 112


def a_remote_procedure_that_nobody_answers_is_not_available(kit):
    client = kit.connected()
    assert client.refused("rpc", method="sum", data={"of": [1, 2]}) in (104, 108)
    # And the connection goes on.
    client.subscribe(kit.channel())


def commands_at_the_same_time_are_all_answered(kit):
    client = kit.connected()
    channels = [kit.channel() for _ in range(30)]
    begun = [client.begin("subscribe", channel=channel) for channel in channels]
    for number, channel in zip(begun, channels):
        kit.agent.answer(number, "subscribe")
        client.next("subscribed", channel)
    calls = [client.begin("publish", channel=channel, data=n) for n, channel in enumerate(channels)]
    calls += [client.begin("presence_stats", channel=channel) for channel in channels]
    for number in calls:
        kit.agent.answer(number, "publish or presence")
    assert [client.data(channel, 1) for channel in channels] == [[n] for n in range(30)]


def several_commands_in_one_frame_are_done_in_order(kit):
    if kit.kind.sdk != "js":
        return
    client = kit.connected()
    channel = kit.channel()
    client.subscribe(channel)
    client.call("batch", channel=channel, values=list(range(30)))
    assert client.data(channel, 30) == list(range(30))


def subscribing_and_unsubscribing_in_one_go_ends_as_asked(kit):
    if kit.kind.sdk == "go":
        # It does not keep their order itself, whatever the server: now and then it sends the last two the other way round.
        return
    client = kit.connected()
    channel = kit.channel()
    for _ in range(5):
        begun = [client.begin(do, channel=channel) for do in ("subscribe", "unsubscribe", "subscribe")]
        for number in begun:
            kit.agent.answer(number, "subscribe or unsubscribe")
    left = [client.next("unsubscribed", channel)["at"] for _ in range(5)]
    while client.next("subscribed", channel)["at"] < left[-1]:
        pass
    kit.server.publish(channel, "heard")
    assert client.data(channel, 1) == ["heard"]
    client.call("unsubscribe", channel=channel)
    kit.wait_for_clients(channel, 0)


def more_channels_than_a_client_may_have_are_refused(kit):
    client = kit.connected()
    channels = [kit.channel("quiet") for _ in range(129)]
    for channel in channels[:128]:
        kit.agent.answer(client.begin("subscribe", channel=channel), "subscribe")
    for channel in channels[:128]:
        client.next("subscribed", channel)
    client.call("subscribe", channel=channels[128])
    assert client.next("unsubscribed", channels[128])["code"] == 106
    client.call("unsubscribe", channel=channels[0])
    client.next("unsubscribed", channels[0])
    kit.wait_for_clients(channels[0], 0)
    client.subscribe(channels[128])


def several_publish_at_once_and_all_hear_one_order(kit):
    readers = [kit.connected() for _ in range(3)]
    channel = kit.channel()
    for reader in readers:
        reader.subscribe(channel)

    def publish(who):
        for n in range(20):
            kit.server.publish(channel, f"{who}-{n}")

    threads = [threading.Thread(target=publish, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    orders = []
    for reader in readers:
        heard = [reader.next("publication", channel) for _ in range(60)]
        assert [event["offset"] for event in heard] == list(range(1, 61))
        orders.append([event["data"] for event in heard])
    assert orders[0] == orders[1] == orders[2] and len(set(orders[0])) == 60


TESTS = (
    a_client_without_a_token_is_anonymous_and_hears_what_it_publishes,
    two_clients_talk_to_each_other_in_order,
    publications_of_the_server_api_arrive_with_tags_and_as_they_are,
    a_large_publication_of_a_client_arrives_whole,
    bytes_that_are_no_json_arrive_as_they_are_over_protobuf,
    presence_has_the_clients_of_a_channel,
    presence_and_publications_carry_what_the_token_says_of_a_user,
    joins_and_leaves_are_told_in_order,
    joins_come_where_a_client_asks_for_them_and_else_not,
    history_is_read_forward_backward_and_in_pages,
    a_remote_procedure_that_nobody_answers_is_not_available,
    commands_at_the_same_time_are_all_answered,
    several_commands_in_one_frame_are_done_in_order,
    subscribing_and_unsubscribing_in_one_go_ends_as_asked,
    more_channels_than_a_client_may_have_are_refused,
    several_publish_at_once_and_all_hear_one_order,
)
