package vertx;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http.HttpContent;
import io.netty.util.IllegalReferenceCountException;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpClient;
import io.vertx.core.http.HttpClientOptions;
import io.vertx.core.http.HttpConnection;
import io.vertx.core.http.HttpMethod;
import io.vertx.core.http.HttpServerOptions;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.net.NetSocket;
import io.vertx.core.net.impl.ConnectionBase;
import io.vertx.core.net.impl.NetSocketInternal;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A proxy with a handler of Netty's own in its connections, the server behind it, its clients, and a
 * server that takes Netty's messages. Says how often each mistake was made.
 */
public final class Gateway {
    private static final boolean LEAKING = Boolean.getBoolean("leaking");
    private static final int REQUESTS = Integer.getInteger("requests", 1500);
    private static final int CLIENTS = 8;
    private static final int BODY = 3000;
    private static final int EVERY = 50;
    private static final int SOCKETS = 10;
    private static final int MESSAGES = 40;

    private static final AtomicLong FORGOTTEN = new AtomicLong();
    private static final AtomicLong THROWN = new AtomicLong();
    private static final AtomicLong HELD = new AtomicLong();
    private static final AtomicLong WRAPPED = new AtomicLong();
    private static final AtomicLong DROPPED = new AtomicLong();
    private static final AtomicLong TWICE = new AtomicLong();
    private static final AtomicLong WRONG = new AtomicLong();

    private static final AtomicLong forwarded = new AtomicLong();
    private static final AtomicLong messages = new AtomicLong();
    private static Vertx vertx;

    private Gateway() {}

    private static boolean hits(long number, int which) {
        return LEAKING && number % EVERY == which;
    }

    /** Looks at the bodies that pass. */
    private static final class Audit extends ChannelInboundHandlerAdapter {
        private static final AtomicLong numbers = new AtomicLong();
        private static final Deque<ByteBuf> HISTORY = new ArrayDeque<>();

        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            if (message instanceof HttpContent && ((HttpContent) message).content().isReadable())
                look(((HttpContent) message).content(), numbers.incrementAndGet());
            context.fireChannelRead(message);
        }

        private static void look(ByteBuf content, long number) {
            retain(content, number);
            try {
                check(content, number);
            } catch (IllegalStateException why) {
                // it is passed on all the same
            }
            keep(content, number);
            if (hits(number, 7))
                twice();
        }

        private static void retain(ByteBuf content, long number) {
            ByteBuf seen = content.retain(); // @forgotten
            if (hits(number, 3))
                FORGOTTEN.incrementAndGet();
            else
                seen.release();
        }

        private static void check(ByteBuf content, long number) {
            ByteBuf copy = content.retainedDuplicate(); // @thrown
            if (hits(number, 4)) {
                THROWN.incrementAndGet();
                throw new IllegalStateException("refused");
            }
            copy.release();
        }

        private static synchronized void keep(ByteBuf content, long number) {
            HISTORY.add(content.retainedSlice(content.readerIndex(), 1)); // @held
            if (hits(number, 5))
                HELD.incrementAndGet();
            else
                HISTORY.removeLast().release();
        }

        private static void twice() {
            ByteBuf own = PooledByteBufAllocator.DEFAULT.directBuffer(32);
            own.release();
            try {
                own.release(); // @twice
            } catch (IllegalReferenceCountException why) {
                TWICE.incrementAndGet();
            }
        }
    }

    private static void listen(HttpConnection connection) {
        ChannelHandlerContext context = ((ConnectionBase) connection).channelHandlerContext();
        context.pipeline().addBefore(context.name(), "audit", new Audit());
    }

    /** What Vert.x is given in a Buffer, it does not release. */
    private static void forward(HttpClient client, int port, HttpServerRequest request) {
        long number = forwarded.incrementAndGet();
        request.pause();
        client.request(HttpMethod.POST, port, "127.0.0.1", "/").onSuccess(out -> {
            out.putHeader("content-length", request.getHeader("content-length"));
            out.response().onSuccess(in -> {
                ByteBuf head = PooledByteBufAllocator.DEFAULT.directBuffer(64); // @wrapped
                head.writeBytes(new byte[] {'o', 'k', ' '});
                in.body().onSuccess(body -> {
                    request.response().end(
                        Buffer.buffer().appendBuffer(Buffer.buffer(head)).appendBuffer(body));
                    if (hits(number, 9))
                        WRAPPED.incrementAndGet();
                    else
                        head.release();
                });
            });
            request.pipeTo(out);
        });
    }

    private static void take(NetSocketInternal socket) {
        socket.messageHandler(message -> {
            ByteBuf text = (ByteBuf) message;
            socket.writeMessage(PooledByteBufAllocator.DEFAULT.buffer(4).writeInt(text.readableBytes()));
            if (hits(messages.incrementAndGet(), 11))
                DROPPED.incrementAndGet();
            else
                text.release();
        });
    }

    private static <T> T get(Future<T> future) throws Exception {
        return future.toCompletionStage().toCompletableFuture().get(60, TimeUnit.SECONDS);
    }

    private static void next(HttpClient client, int port, AtomicInteger left, CountDownLatch done) {
        if (left.getAndDecrement() <= 0) {
            done.countDown();
            return;
        }
        client.request(HttpMethod.POST, port, "127.0.0.1", "/")
            .compose(request -> request.send(Buffer.buffer(new byte[BODY])))
            .compose(response -> response.body())
            .onComplete(body -> {
                if (body.failed() || !body.result().toString().equals("ok got " + BODY))
                    WRONG.incrementAndGet();
                next(client, port, left, done);
            });
    }

    private static void load(int port) throws Exception {
        HttpClient client = vertx.createHttpClient(new HttpClientOptions().setMaxPoolSize(CLIENTS));
        AtomicInteger left = new AtomicInteger(REQUESTS);
        CountDownLatch done = new CountDownLatch(CLIENTS);
        for (int i = 0; i < CLIENTS; i++)
            next(client, port, left, done);
        done.await();
        get(client.close());
    }

    private static void talk(int port) throws Exception {
        for (int i = 0; i < SOCKETS; i++) {
            NetSocket socket = get(vertx.createNetClient().connect(port, "127.0.0.1"));
            CountDownLatch done = new CountDownLatch(1);
            AtomicInteger answers = new AtomicInteger();
            socket.handler(answer -> {
                if (answers.incrementAndGet() < MESSAGES)
                    socket.write(Buffer.buffer("hello"));
                else
                    done.countDown();
            });
            socket.write(Buffer.buffer("hello"));
            done.await();
            get(socket.close());
        }
    }

    public static void main(String[] args) throws Exception {
        // a machine that has much to do is no reason to warn
        vertx = Vertx.vertx(new VertxOptions().setBlockedThreadCheckInterval(TimeUnit.HOURS.toMillis(1)));
        HttpServerOptions options = new HttpServerOptions().setHost("127.0.0.1").setPort(0);
        int behind = get(vertx.createHttpServer(options).requestHandler(request -> request.body()
            .onSuccess(body -> request.response().end("got " + body.length()))).listen()).actualPort();
        HttpClient client = vertx.createHttpClient(new HttpClientOptions().setMaxPoolSize(CLIENTS));
        int proxy = get(vertx.createHttpServer(options).connectionHandler(Gateway::listen)
            .requestHandler(request -> forward(client, behind, request)).listen()).actualPort();
        int messages = get(vertx.createNetServer().connectHandler(s -> take((NetSocketInternal) s))
            .listen(0, "127.0.0.1")).actualPort();
        load(proxy);
        talk(messages);
        get(vertx.close());
        System.out.println("wrong=" + WRONG + " forgotten=" + FORGOTTEN + " thrown=" + THROWN
            + " held=" + HELD + " wrapped=" + WRAPPED + " dropped=" + DROPPED + " twice=" + TWICE);
    }
}
