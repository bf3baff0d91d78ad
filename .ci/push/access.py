"""Tokens, permissions and namespaces, by the official SDKs."""

from server import token

# How long a token lives that ends during a test: long enough to connect with on a busy machine.
LIVES_S = 4


def an_expired_token_is_asked_for_again(kit):
    user = kit.user()
    client = kit.connected(token=token(-60, sub=user), tokens=[token(600, sub=user)])
    client.next("token_asked")
    channel = kit.channel()
    client.subscribe(channel)
    (person,) = client.call("presence", channel=channel).values()
    assert person["user"] == user, person


def a_client_without_a_token_asks_for_one_before_it_connects(kit):
    client = kit.connected(tokens=[token(600, sub=kit.user())])
    client.next("token_asked")


def a_token_is_refreshed_before_it_ends_and_the_connection_stays(kit):
    user = kit.user()
    tokens = [token(LIVES_S, sub=user), token(2 * LIVES_S, sub=user), token(600, sub=user)]
    client = kit.connected(token=tokens[0], tokens=tokens[1:])
    channel = kit.channel()
    client.subscribe(channel)
    client.next("token_asked")
    client.next("token_asked")
    kit.server.publish(channel, "later")
    assert client.data(channel, 1) == ["later"]
    assert not client.waiting("disconnected") and not client.waiting("connecting"), "the connection did not stay"


def a_refresh_with_an_expired_token_closes_with_3005(kit):
    user = kit.user()
    client = kit.connected(token=token(LIVES_S, sub=user), tokens=[token(-60, sub=user), token(600, sub=user)])
    client.next("token_asked")
    assert client.next("connecting")["code"] == 3005
    client.next("connected")


def a_refresh_with_the_token_of_another_user_closes_with_3500(kit):
    client = kit.connected(token=token(LIVES_S, sub=kit.user()), tokens=[token(600, sub=kit.user())])
    assert client.next("disconnected")["code"] == 3500


def a_user_who_is_given_no_token_any_more_is_disconnected(kit):
    client = kit.connected(token=token(LIVES_S, sub=kit.user()), tokens=[None])
    assert client.next("disconnected")["code"] == 1


def tokens_that_are_wrong_are_refused_for_good(kit):
    user = kit.user()
    good = token(600, sub=user)
    head, body, signature = good.split(".")
    wrong = {
        "of another key": token(600, sub=user, secret="another secret, just as long as the right one"),
        "with another body": f"{head}.{token(600, sub='root').split('.')[1]}.{signature}",
        "without a signature": f"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.",
        "no token": "hello",
    }
    for what, given in wrong.items():
        client = kit.client(token=given)
        client.begin("connect")
        ended = client.next("disconnected")
        assert ended["code"] == 3500, (what, ended)


def a_token_that_does_not_count_yet_is_as_good_as_expired(kit):
    user = kit.user()
    later = token(600, sub=user, nbf=4_000_000_000)
    client = kit.connected(token=later, tokens=[token(600, sub=user)])
    client.next("token_asked")


def private_channels_need_the_subscription_token_of_their_name_and_user(kit):
    user = kit.user()
    client = kit.connected(token=token(600, sub=user))
    channel = "$" + kit.channel("demo")
    given = token(600, sub=user, channel=channel, info={"role": "reader"})
    client.subscribe(channel, token=given)
    (person,) = client.call("presence", channel=channel).values()
    assert person["chan_info"] == {"role": "reader"}, person
    without = "$" + kit.channel("demo")
    client.call("subscribe", channel=without)
    assert client.next("unsubscribed", without)["code"] == 103
    forged = "$" + kit.channel("demo")
    client.call("subscribe", channel=forged, token=token(600, sub=user, channel=forged, secret="x" * 40))
    assert client.next("unsubscribed", forged)["code"] == 103
    # The token of another channel, and that of another user, end the connection.
    other = "$" + kit.channel("demo")
    client.call("subscribe", channel=other, token=given)
    assert client.next("disconnected")["code"] == 3500
    client = kit.connected(token=token(600, sub=kit.user()))
    client.call("subscribe", channel=channel, token=given)
    assert client.next("disconnected")["code"] == 3500


def a_token_opens_a_channel_that_is_closed_without_one(kit):
    user = kit.user()
    client = kit.connected(token=token(600, sub=user))
    channel = kit.channel("closed")
    client.call("subscribe", channel=channel)
    assert client.next("unsubscribed", channel)["code"] == 103
    channel = kit.channel("closed")
    client.subscribe(channel, token=token(600, sub=user, channel=channel))
    kit.server.publish(channel, "for those with a token")
    assert client.data(channel, 1) == ["for those with a token"]


def an_expired_subscription_token_is_asked_for_again_and_refreshed(kit):
    user = kit.user()
    client = kit.connected(token=token(600, sub=user))
    channel = kit.channel("closed")
    tokens = [token(lives, sub=user, channel=channel) for lives in (-60, LIVES_S, 2 * LIVES_S, 600)]
    client.subscribe(channel, token=tokens[0], tokens=tokens[1:])
    for _ in range(3):
        client.next("token_asked", channel)
    kit.server.publish(channel, "later")
    assert client.data(channel, 1) == ["later"]
    assert not client.waiting("unsubscribed", channel) and not client.waiting("subscribed", channel)


def a_subscription_that_is_refreshed_with_an_expired_token_ends(kit):
    user = kit.user()
    client = kit.connected(token=token(600, sub=user))
    channel = kit.channel("closed")
    tokens = [token(lives, sub=user, channel=channel) for lives in (LIVES_S, -60)]
    client.subscribe(channel, token=tokens[0], tokens=tokens[1:])
    client.next("token_asked", channel)
    assert client.next("unsubscribed", channel)["code"] in (109, 110)
    # It is over at the server, too.
    kit.stage.wait("the end of the subscription", lambda: not kit.server.api("presence", channel=channel)["presence"])


# In Centrifugo 6.9.1 such a subscription lasts for ever (centrifuge#627).
a_subscription_that_is_refreshed_with_an_expired_token_ends.is_ours = True


def names_that_do_not_exist_are_told_so(kit):
    client = kit.connected()
    unknown = kit.channel("nowhere")
    for do, given in (("publish", {"data": 1}), ("history", {"limit": 1}), ("presence", {})):
        assert client.refused(do, channel=unknown, **given) == 102, do
    client.call("subscribe", channel=unknown)
    assert client.next("unsubscribed", unknown)["code"] == 102
    for name in ("demo:" + "x" * 300, "demo:ümlaut"):
        client.call("subscribe", channel=name)
        assert client.next("unsubscribed", name)["code"] == 107, name


def what_a_namespace_does_not_have_or_allow_is_told_so(kit):
    client = kit.connected(token=token(600, sub=kit.user()))
    quiet, reader = kit.channel("quiet"), kit.channel("reader")
    for channel in (quiet, reader):
        client.subscribe(channel)
    assert client.refused("history", channel=quiet, limit=1) == 108
    assert client.refused("presence", channel=quiet) == 108
    assert client.refused("presence_stats", channel=quiet) == 108
    assert client.refused("publish", channel=reader, data=1) == 103
    assert client.refused("history", channel=reader, limit=1) == 103
    assert client.refused("presence", channel=reader) == 103


def a_channel_of_named_users_is_for_them_only(kit):
    ann, bob, eve = kit.user(), kit.user(), kit.user()
    channel = f"{kit.channel('users')}#{ann},{bob}"
    for user in (ann, bob):
        kit.connected(token=token(600, sub=user)).subscribe(channel)
    client = kit.connected(token=token(600, sub=eve))
    client.call("subscribe", channel=channel)
    assert client.next("unsubscribed", channel)["code"] == 103


TESTS = (
    an_expired_token_is_asked_for_again,
    a_client_without_a_token_asks_for_one_before_it_connects,
    a_token_is_refreshed_before_it_ends_and_the_connection_stays,
    a_refresh_with_an_expired_token_closes_with_3005,
    a_refresh_with_the_token_of_another_user_closes_with_3500,
    a_user_who_is_given_no_token_any_more_is_disconnected,
    tokens_that_are_wrong_are_refused_for_good,
    a_token_that_does_not_count_yet_is_as_good_as_expired,
    private_channels_need_the_subscription_token_of_their_name_and_user,
    a_token_opens_a_channel_that_is_closed_without_one,
    an_expired_subscription_token_is_asked_for_again_and_refreshed,
    a_subscription_that_is_refreshed_with_an_expired_token_ends,
    names_that_do_not_exist_are_told_so,
    what_a_namespace_does_not_have_or_allow_is_told_so,
    a_channel_of_named_users_is_for_them_only,
)
