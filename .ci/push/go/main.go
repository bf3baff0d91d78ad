// Runs clients of the official Go SDK for the tests: what agent.mjs says of commands, answers and events holds here.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	sdk "github.com/centrifugal/centrifuge-go"
)

type object = map[string]any

// command is a line of standard input.
type command struct {
	N            int                 `json:"n"`
	Do           string              `json:"do"`
	Client       string              `json:"client"`
	Base         string              `json:"base"`
	Format       string              `json:"format"`
	Token        string              `json:"token"`
	Tokens       []*string           `json:"tokens"`
	Data         json.RawMessage     `json:"data"`
	Name         string              `json:"name"`
	MaxPingDelay int                 `json:"max_ping_delay"`
	Channel      string              `json:"channel"`
	Positioned   bool                `json:"positioned"`
	Recoverable  bool                `json:"recoverable"`
	JoinLeave    bool                `json:"join_leave"`
	Since        *sdk.StreamPosition `json:"since"`
	Limit        int32               `json:"limit"`
	Reverse      bool                `json:"reverse"`
	Method       string              `json:"method"`
}

var (
	output  sync.Mutex
	lock    sync.Mutex
	clients = map[string]*held{}
)

func say(line object) {
	bytes, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	os.Stdout.Write(append(bytes, '\n'))
}

// held is a client with its name.
type held struct {
	name string
	sdk  *sdk.Client
}

func (h *held) tell(on string, fields object) {
	fields["client"], fields["on"] = h.name, on
	say(fields)
}

// read makes data readable: JSON as it is, other bytes in base64.
func read(data []byte) any {
	if len(data) == 0 {
		return nil
	}
	if json.Valid(data) {
		return json.RawMessage(data)
	}
	return object{"base64": base64.StdEncoding.EncodeToString(data)}
}

func person(info sdk.ClientInfo) object {
	return object{"client": info.Client, "user": info.User, "conn_info": read(info.ConnInfo), "chan_info": read(info.ChanInfo)}
}

func publication(pub sdk.Publication) object {
	tags := pub.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	told := object{"data": read(pub.Data), "offset": pub.Offset, "tags": tags}
	if pub.Info != nil {
		told["info"] = person(*pub.Info)
	}
	return told
}

func with(told object, channel string) object {
	told["channel"] = channel
	return told
}

func about(channel string, info sdk.ClientInfo) object {
	return object{"channel": channel, "info": person(info)}
}

func subscribed(channel string, recoverable, positioned, recovering, recovered bool, at *sdk.StreamPosition, data []byte) object {
	told := object{"channel": channel, "recoverable": recoverable, "positioned": positioned, "data": read(data)}
	told["was_recovering"], told["recovered"] = recovering, recovered
	if at != nil {
		told["offset"], told["epoch"] = at.Offset, at.Epoch
	}
	return told
}

func failure(err error) object {
	var told *sdk.Error
	if errors.As(err, &told) {
		return object{"code": told.Code, "message": told.Message}
	}
	return object{"code": 0, "message": fmt.Sprintf("%T: %v", err, err)}
}

// source hands out tokens in turn, the last one again and again; null says that the user may not.
func (h *held) source(tokens []*string, channel string) func() (string, error) {
	var turn sync.Mutex
	return func() (string, error) {
		turn.Lock()
		defer turn.Unlock()
		told := object{}
		if channel != "" {
			told["channel"] = channel
		}
		h.tell("token_asked", told)
		token := tokens[0]
		if len(tokens) > 1 {
			tokens = tokens[1:]
		}
		if token == nil {
			return "", sdk.ErrUnauthorized
		}
		return *token, nil
	}
}

func create(c command) *held {
	h := &held{name: c.Client}
	config := sdk.Config{
		Token: c.Token, Data: c.Data, Name: c.Name, ReadTimeout: 20 * time.Second, HandshakeTimeout: 20 * time.Second,
		MaxServerPingDelay: time.Duration(c.MaxPingDelay) * time.Millisecond,
		MinReconnectDelay:  20 * time.Millisecond, MaxReconnectDelay: 200 * time.Millisecond,
	}
	if c.Tokens != nil {
		token := h.source(c.Tokens, "")
		config.GetToken = func(sdk.ConnectionTokenEvent) (string, error) { return token() }
	}
	endpoint := strings.Replace(c.Base, "http", "ws", 1) + "/connection/websocket"
	if c.Format == "protobuf" {
		h.sdk = sdk.NewProtobufClient(endpoint, config)
	} else {
		h.sdk = sdk.NewJsonClient(endpoint, config)
	}
	h.sdk.OnConnecting(func(e sdk.ConnectingEvent) { h.tell("connecting", object{"code": e.Code, "reason": e.Reason}) })
	h.sdk.OnConnected(func(e sdk.ConnectedEvent) { h.tell("connected", object{"id": e.ClientID, "data": read(e.Data)}) })
	h.sdk.OnDisconnected(func(e sdk.DisconnectedEvent) { h.tell("disconnected", object{"code": e.Code, "reason": e.Reason}) })
	h.sdk.OnError(func(e sdk.ErrorEvent) { h.tell("error", failure(e.Error)) })
	h.sdk.OnMessage(func(e sdk.MessageEvent) { h.tell("message", object{"data": read(e.Data)}) })
	h.sdk.OnSubscribing(func(e sdk.ServerSubscribingEvent) { h.tell("server_subscribing", object{"channel": e.Channel}) })
	h.sdk.OnSubscribed(func(e sdk.ServerSubscribedEvent) {
		h.tell("server_subscribed",
			subscribed(e.Channel, e.Recoverable, e.Positioned, e.WasRecovering, e.Recovered, e.StreamPosition, e.Data))
	})
	h.sdk.OnUnsubscribed(func(e sdk.ServerUnsubscribedEvent) { h.tell("server_unsubscribed", object{"channel": e.Channel}) })
	h.sdk.OnPublication(func(e sdk.ServerPublicationEvent) {
		h.tell("server_publication", with(publication(e.Publication), e.Channel))
	})
	h.sdk.OnJoin(func(e sdk.ServerJoinEvent) { h.tell("server_join", about(e.Channel, e.ClientInfo)) })
	h.sdk.OnLeave(func(e sdk.ServerLeaveEvent) { h.tell("server_leave", about(e.Channel, e.ClientInfo)) })
	return h
}

func (h *held) subscribe(c command) error {
	if known, ok := h.sdk.GetSubscription(c.Channel); ok {
		return known.Subscribe()
	}
	config := sdk.SubscriptionConfig{
		Token: c.Token, Data: c.Data, Positioned: c.Positioned, Recoverable: c.Recoverable, JoinLeave: c.JoinLeave,
		MinResubscribeDelay: 20 * time.Millisecond, MaxResubscribeDelay: 200 * time.Millisecond,
	}
	if c.Tokens != nil {
		token := h.source(c.Tokens, c.Channel)
		config.GetToken = func(sdk.SubscriptionTokenEvent) (string, error) { return token() }
	}
	if c.Since != nil {
		config.GetState = func(sdk.SubscriptionGetStateEvent) (sdk.StreamPosition, error) {
			h.tell("state_asked", object{"channel": c.Channel})
			return *c.Since, nil
		}
	}
	sub, err := h.sdk.NewSubscription(c.Channel, config)
	if err != nil {
		return err
	}
	tell := func(on string, told object) { h.tell(on, with(told, c.Channel)) }
	sub.OnSubscribing(func(e sdk.SubscribingEvent) { tell("subscribing", object{"code": e.Code, "reason": e.Reason}) })
	sub.OnSubscribed(func(e sdk.SubscribedEvent) {
		tell("subscribed",
			subscribed(c.Channel, e.Recoverable, e.Positioned, e.WasRecovering, e.Recovered, e.StreamPosition, e.Data))
	})
	sub.OnUnsubscribed(func(e sdk.UnsubscribedEvent) { tell("unsubscribed", object{"code": e.Code, "reason": e.Reason}) })
	sub.OnPublication(func(e sdk.PublicationEvent) { tell("publication", publication(e.Publication)) })
	sub.OnJoin(func(e sdk.JoinEvent) { tell("join", about(c.Channel, e.ClientInfo)) })
	sub.OnLeave(func(e sdk.LeaveEvent) { tell("leave", about(c.Channel, e.ClientInfo)) })
	sub.OnError(func(e sdk.SubscriptionErrorEvent) { tell("sub_error", failure(e.Error)) })
	return sub.Subscribe()
}

// do runs a command that is not `create`.
func (h *held) do(c command) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	switch c.Do {
	case "connect":
		return nil, h.sdk.Connect()
	case "disconnect":
		return nil, h.sdk.Disconnect()
	case "subscribe":
		return nil, h.subscribe(c)
	case "unsubscribe":
		sub, _ := h.sdk.GetSubscription(c.Channel)
		return nil, sub.Unsubscribe()
	case "publish":
		_, err := h.sdk.Publish(ctx, c.Channel, c.Data)
		return nil, err
	case "history":
		options := []sdk.HistoryOption{sdk.WithHistoryLimit(c.Limit), sdk.WithHistoryReverse(c.Reverse)}
		if c.Since != nil {
			options = append(options, sdk.WithHistorySince(c.Since))
		}
		result, err := h.sdk.History(ctx, c.Channel, options...)
		publications := []object{}
		for _, pub := range result.Publications {
			publications = append(publications, publication(pub))
		}
		return object{"publications": publications, "offset": result.Offset, "epoch": result.Epoch}, err
	case "presence":
		result, err := h.sdk.Presence(ctx, c.Channel)
		told := object{}
		for id, info := range result.Clients {
			told[id] = person(info)
		}
		return told, err
	case "presence_stats":
		result, err := h.sdk.PresenceStats(ctx, c.Channel)
		return object{"clients": result.NumClients, "users": result.NumUsers}, err
	case "rpc":
		result, err := h.sdk.RPC(ctx, c.Method, c.Data)
		return read(result.Data), err
	case "send":
		return nil, h.sdk.Send(ctx, c.Data)
	}
	return nil, fmt.Errorf("%s is no command", c.Do)
}

func handle(c command) {
	if c.Do == "create" {
		h := create(c)
		lock.Lock()
		clients[c.Client] = h
		lock.Unlock()
		say(object{"n": c.N, "ok": object{}})
		return
	}
	lock.Lock()
	h := clients[c.Client]
	lock.Unlock()
	ok, err := h.do(c)
	if err != nil {
		say(object{"n": c.N, "error": failure(err)})
		return
	}
	if ok == nil {
		ok = object{}
	}
	say(object{"n": c.N, "ok": ok})
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			panic(err)
		}
		switch c.Do {
		case "create", "subscribe", "unsubscribe":
			// The order counts, and nothing is waited for.
			handle(c)
		default:
			go handle(c)
		}
	}
}
