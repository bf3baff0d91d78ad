package main

import (
	"io"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/valyala/fasthttp"
)

func httpByNet(address string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(writer http.ResponseWriter, _ *http.Request) {
		writer.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(writer, body)
	})
	return serveHTTP(address, mux)
}

// "By default gin.DefaultWriter = os.Stdout" and each request is logged; gin.New and release mode leave that out, as gin's
// own benchmarks do.
func httpByGin(address string) error {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/", func(context *gin.Context) {
		context.String(http.StatusOK, body)
	})
	return serveHTTP(address, router)
}

func serveHTTP(address string, handler http.Handler) error {
	listener, err := listen(address)
	if err != nil {
		return err
	}
	return http.Serve(listener, handler)
}

// The tips of fasthttp's README for several processors do not apply to one. "Do not allocate objects and []byte buffers":
// the handler hands over one string.
func httpByFasthttp(address string) error {
	listener, err := listen(address)
	if err != nil {
		return err
	}
	return fasthttp.Serve(listener, func(context *fasthttp.RequestCtx) {
		if string(context.Path()) != "/" {
			context.NotFound()
			return
		}
		context.SetContentType("text/plain")
		context.SetBodyString(body)
	})
}
