/* An echo server on libuv's default loop: peer-libuv NAME PORT. It says "ready PORT" once it listens.
 *
 * As the guide's "tcp-echo-server" (docs.libuv.org/en/v1.x/guide/networking.html), with two differences that cost it
 * nothing: one buffer for all reads, since a read callback has always used it up, and uv_try_write first, which the
 * documentation of uv_try_write describes as "Same as uv_write(), but won't queue a write request if it can't be completed
 * immediately". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BACKLOG = 4096, BUFFER_BYTES = 64 * 1024 };

static char buffer[BUFFER_BYTES];

struct reply {
    uv_write_t request;
    char bytes[];
};

static void fail(const char *what, int error) {
    fprintf(stderr, "peer-libuv: %s: %s\n", what, uv_strerror(error));
    exit(1);
}

static void on_closed(uv_handle_t *handle) { free(handle); }

static void close_connection(uv_stream_t *stream) {
    if (!uv_is_closing((uv_handle_t *)stream)) uv_close((uv_handle_t *)stream, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *into) {
    (void)handle;
    (void)suggested;
    *into = uv_buf_init(buffer, BUFFER_BYTES);
}

static void on_written(uv_write_t *request, int status) {
    if (status < 0) close_connection(request->handle);
    free(request);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *from) {
    if (count < 0) {
        close_connection(stream);
        return;
    }
    uv_buf_t bytes = uv_buf_init(from->base, (unsigned)count);
    int sent = uv_try_write(stream, &bytes, 1);
    if (sent == UV_EAGAIN) sent = 0;
    if (sent < 0) {
        close_connection(stream);
        return;
    }
    size_t rest = (size_t)count - (size_t)sent;
    if (rest == 0) return;
    struct reply *reply = malloc(sizeof *reply + rest);
    if (reply == NULL) {
        close_connection(stream);
        return;
    }
    memcpy(reply->bytes, from->base + sent, rest);
    bytes = uv_buf_init(reply->bytes, (unsigned)rest);
    if (uv_write(&reply->request, stream, &bytes, 1, on_written) != 0) {
        free(reply);
        close_connection(stream);
    }
}

static void on_connection(uv_stream_t *listener, int status) {
    if (status < 0) return;
    uv_tcp_t *connection = malloc(sizeof *connection);
    if (connection == NULL) return;
    uv_tcp_init(listener->loop, connection);
    if (uv_accept(listener, (uv_stream_t *)connection) != 0) {
        close_connection((uv_stream_t *)connection);
        return;
    }
    uv_tcp_nodelay(connection, 1);
    uv_read_start((uv_stream_t *)connection, on_alloc, on_read);
}

int main(int count, char **arguments) {
    if (count == 2 && strcmp(arguments[1], "--version") == 0) {
        puts(uv_version_string());
        return 0;
    }
    if (count != 3) {
        fputs("usage: peer-libuv NAME PORT\n", stderr);
        return 2;
    }
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    struct sockaddr_in address;
    int error = uv_ip4_addr("127.0.0.1", atoi(arguments[2]), &address);
    if (error == 0) error = uv_tcp_init(loop, &listener);
    if (error == 0) error = uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0);
    if (error == 0) error = uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection);
    if (error != 0) fail("listen", error);
    printf("ready %s\n", arguments[2]);
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
