"""The server API acts on clients of the official SDKs, and clients have server-side subscriptions."""

from server import Refused, token


def a_token_subscribes_its_client_to_channels(kit):
    user = kit.user()
    plain, rich = kit.channel(), kit.channel("room")
    subs = {rich: {"info": {"role": "guest"}, "data": {"welcome": True}}}
    client = kit.connected(token=token(600, sub=user, channels=[plain]))
    client.next("server_subscribed", plain)
    rich_client = kit.connected(token=token(600, sub=user, subs=subs))
    subscribed = rich_client.next("server_subscribed", rich)
    assert subscribed["data"] == {"welcome": True} and subscribed["recoverable"], subscribed
    kit.server.api("broadcast", channels=[plain, rich], data="to all")
    assert client.data(plain, 1, "server_publication") == ["to all"]
    assert rich_client.data(rich, 1, "server_publication") == ["to all"]
    (person,) = kit.server.api("presence", channel=rich)["presence"].values()
    assert person["user"] == user and person["chan_info"] == {"role": "guest"}, person
    other = kit.connected()
    other.subscribe(rich)
    joined = [rich_client.next("server_join", rich)["info"]["client"] for _ in range(2)]
    assert joined == [rich_client.id, other.id]
    other.call("unsubscribe", channel=rich)
    assert rich_client.next("server_leave", rich)["info"]["client"] == other.id


def the_server_subscribes_and_unsubscribes_a_user(kit):
    user = kit.user()
    clients = [kit.connected(token=token(600, sub=user)) for _ in range(2)]
    channel = kit.channel()
    kit.server.api("subscribe", user=user, channel=channel, data={"by": "the server"})
    for client in clients:
        subscribed = client.next("server_subscribed", channel)
        assert subscribed["data"] == {"by": "the server"}, subscribed
    kit.server.publish(channel, 1)
    for client in clients:
        assert client.data(channel, 1, "server_publication") == [1]
    kit.server.api("unsubscribe", user=user, channel=channel)
    for client in clients:
        client.next("server_unsubscribed", channel)
    assert kit.server.api("presence_stats", channel=channel) == {"num_clients": 0, "num_users": 0}


def the_server_unsubscribes_one_client_of_a_user_for_good(kit):
    user = kit.user()
    ann, bob = (kit.connected(token=token(600, sub=user)) for _ in range(2))
    channel = kit.channel()
    for client in (ann, bob):
        client.subscribe(channel)
    kit.server.api("unsubscribe", user=user, client=ann.id, channel=channel)
    ended = ann.next("unsubscribed", channel)
    assert ended["code"] == 2000, ended
    kit.server.publish(channel, 1)
    assert bob.data(channel, 1) == [1]
    assert not ann.waiting("publication", channel)
    # It may come back by its own will.
    ann.subscribe(channel)


def the_server_disconnects_a_user_for_good(kit):
    user = kit.user()
    client = kit.connected(token=token(600, sub=user))
    other = kit.connected(token=token(600, sub=kit.user()))
    kit.server.api("disconnect", user=user)
    ended = client.next("disconnected")
    assert ended["code"] == 3503 and ended["reason"], ended
    other.subscribe(kit.channel())
    assert not other.waiting("disconnected")


def the_server_disconnects_with_codes_of_the_application(kit):
    user = kit.user()
    client = kit.connected(token=token(600, sub=user))
    kit.server.api("disconnect", user=user, disconnect={"code": 4001, "reason": "come back"})
    ended = client.next("connecting")
    assert ended["code"] == 4001 and ended["reason"] == "come back", ended
    client.next("connected")
    kit.server.api("disconnect", user=user, disconnect={"code": 4501, "reason": "stay away"})
    ended = client.next("disconnected")
    assert ended["code"] == 4501 and ended["reason"] == "stay away", ended


def all_clients_of_a_user_but_those_on_a_list_are_disconnected(kit):
    user = kit.user()
    clients = [kit.connected(token=token(600, sub=user)) for _ in range(3)]
    kit.server.api("disconnect", user=user, whitelist=[clients[1].id])
    assert clients[0].next("disconnected")["code"] == 3503
    assert clients[2].next("disconnected")["code"] == 3503
    clients[1].subscribe(kit.channel())


def a_user_that_the_server_lets_expire_comes_back_with_a_new_token(kit):
    user = kit.user()
    given = token(600, sub=user)
    client = kit.connected(token=given, tokens=[given])
    kit.server.api("refresh", user=user, expired=True)
    assert client.next("connecting")["code"] == 3005
    client.next("connected")


def what_the_server_api_shows_is_what_clients_see(kit):
    user = kit.user()
    client = kit.connected(token=token(600, sub=user, info={"name": "Ann"}))
    channel = kit.channel()
    client.subscribe(channel)
    assert kit.server.api("channels", pattern=channel)["channels"] == {channel: {"num_clients": 1}}
    (person,) = kit.server.api("presence", channel=channel)["presence"].values()
    assert person["user"] == user and person["client"] == client.id and person["conn_info"] == {"name": "Ann"}, person
    client.call("publish", channel=channel, data={"n": 1})
    history = kit.server.api("history", channel=channel, limit=10)
    (publication,) = history["publications"]
    assert publication["data"] == {"n": 1} and publication["info"]["user"] == user and history["offset"] == 1, history
    kit.stage.wait("the node's count", lambda: kit.server.api("info")["nodes"][0]["num_clients"] >= 1)
    try:
        kit.server.api("publish", channel="nowhere:x", data=1)
        raise AssertionError("an unknown namespace was published to")
    except Refused as error:
        assert error.code == 102, error


def a_publication_with_a_key_that_was_used_is_not_sent_again(kit):
    client = kit.connected()
    channel = kit.channel()
    client.subscribe(channel)
    first = kit.server.publish(channel, "once", idempotency_key="k1")
    assert kit.server.publish(channel, "once", idempotency_key="k1") == first
    kit.server.publish(channel, "after", idempotency_key="k2")
    kit.server.publish(channel, "not kept", skip_history=True)
    assert client.data(channel, 3) == ["once", "after", "not kept"]
    assert kit.server.api("history", channel=channel, limit=10)["offset"] == 2


def several_calls_in_one_are_done_in_order(kit):
    client = kit.connected()
    channel = kit.channel()
    client.subscribe(channel)
    commands = [{"publish": {"channel": channel, "data": n}} for n in range(10)] + [{"presence_stats": {"channel": channel}}]
    replies = kit.server.api_raw("batch", commands=commands)["replies"]
    assert [reply["publish"]["offset"] for reply in replies[:10]] == list(range(1, 11)), replies
    assert replies[10]["presence_stats"] == {"num_clients": 1, "num_users": 1}, replies
    assert client.data(channel, 10) == list(range(10))


TESTS = (
    a_token_subscribes_its_client_to_channels,
    the_server_subscribes_and_unsubscribes_a_user,
    the_server_unsubscribes_one_client_of_a_user_for_good,
    the_server_disconnects_a_user_for_good,
    the_server_disconnects_with_codes_of_the_application,
    all_clients_of_a_user_but_those_on_a_list_are_disconnected,
    a_user_that_the_server_lets_expire_comes_back_with_a_new_token,
    what_the_server_api_shows_is_what_clients_see,
    a_publication_with_a_key_that_was_used_is_not_sent_again,
    several_calls_in_one_are_done_in_order,
)
