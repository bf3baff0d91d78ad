package main

import (
	"crypto/tls"
	"os"
)

// As the example of tls.Listen in the documentation of crypto/tls, and the echo of net in it.
//
// "TLS 1.3 ciphersuites are not configurable" (tls.Config): Go takes AES with 128 bits where the client has it. The key
// exchange is that of the other servers: by itself Go asks a client again that knows the post-quantum one and has not
// begun with it.
func echoByTLS(address string) error {
	certificate, err := tls.LoadX509KeyPair(os.Getenv("GANNET_BENCH_CERTIFICATE"), os.Getenv("GANNET_BENCH_KEY"))
	if err != nil {
		return err
	}
	listener, err := listen(address)
	if err != nil {
		return err
	}
	return echoOn(tls.NewListener(listener, &tls.Config{
		Certificates:     []tls.Certificate{certificate},
		CurvePreferences: []tls.CurveID{tls.X25519},
	}))
}
