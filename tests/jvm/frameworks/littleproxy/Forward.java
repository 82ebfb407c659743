package littleproxy;

import com.sun.net.httpserver.HttpServer;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.util.IllegalReferenceCountException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.littleshoot.proxy.HttpFilters;
import org.littleshoot.proxy.HttpFiltersAdapter;
import org.littleshoot.proxy.HttpFiltersSourceAdapter;
import org.littleshoot.proxy.HttpProxyServer;
import org.littleshoot.proxy.impl.DefaultHttpProxyServer;

/** A forward proxy with a filter, what is behind it and its clients. Says how often each mistake was made. */
public final class Forward {
    private static final boolean LEAKING = Boolean.getBoolean("leaking");
    private static final int REQUESTS = Integer.getInteger("requests", 800);
    private static final int CLIENTS = 8;
    private static final int BODY = 3000;
    private static final int EVERY = 50;

    private static final AtomicLong FORGOTTEN = new AtomicLong();
    private static final AtomicLong THROWN = new AtomicLong();
    private static final AtomicLong TWICE = new AtomicLong();
    private static final AtomicLong WRONG = new AtomicLong();

    private Forward() {}

    private static boolean hits(long number, int which) {
        return LEAKING && number % EVERY == which;
    }

    /** Looks at what passes in both directions. */
    private static final class Audit extends HttpFiltersAdapter {
        private static final AtomicLong numbers = new AtomicLong();

        Audit(HttpRequest request, ChannelHandlerContext context) {
            super(request, context);
        }

        @Override
        public HttpResponse clientToProxyRequest(HttpObject message) {
            look(message);
            return null;
        }

        @Override
        public HttpObject serverToProxyResponse(HttpObject message) {
            look(message);
            return message;
        }

        private static void look(HttpObject message) {
            if (!(message instanceof HttpContent) || !((HttpContent) message).content().isReadable())
                return;
            ByteBuf content = ((HttpContent) message).content();
            long number = numbers.incrementAndGet();
            retain(content, number);
            try {
                check(content, number);
            } catch (IllegalStateException why) {
                // it is passed on all the same
            }
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

    /** The proxy does not tell its port when it chooses one. */
    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    private static HttpProxyServer proxy() throws IOException {
        return DefaultHttpProxyServer.bootstrap()
            .withAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), freePort()))
            .withFiltersSource(new HttpFiltersSourceAdapter() {
                @Override
                public HttpFilters filterRequest(HttpRequest request, ChannelHandlerContext context) {
                    return new Audit(request, context);
                }
            }).start();
    }

    private static HttpServer behind() throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newFixedThreadPool(CLIENTS));
        server.createContext("/", exchange -> {
            byte[] answer = ("got " + exchange.getRequestBody().readAllBytes().length).getBytes();
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
        return server;
    }

    /** Every other body is sent in chunks. */
    private static void ask(HttpClient client, URI uri, int number) {
        byte[] body = new byte[BODY];
        BodyPublisher publisher = number % 2 == 0
            ? BodyPublishers.ofByteArray(body)
            : BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body));
        try {
            String answer = client.send(
                java.net.http.HttpRequest.newBuilder(uri).POST(publisher).build(), BodyHandlers.ofString()).body();
            if (!answer.equals("got " + BODY))
                WRONG.incrementAndGet();
        } catch (IOException | InterruptedException why) {
            WRONG.incrementAndGet();
        }
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("slf4j.internal.verbosity", "ERROR");
        HttpServer server = behind();
        HttpProxyServer proxy = proxy();
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)
            .proxy(ProxySelector.of(proxy.getListenAddress())).build();
        URI uri = URI.create("http://localhost:" + server.getAddress().getPort() + "/");
        ExecutorService clients = Executors.newFixedThreadPool(CLIENTS);
        for (int i = 0; i < REQUESTS; i++) {
            int number = i;
            clients.execute(() -> ask(client, uri, number));
        }
        clients.shutdown();
        if (!clients.awaitTermination(100, TimeUnit.SECONDS))
            WRONG.incrementAndGet();
        proxy.abort();
        server.stop(0);
        System.out.println("wrong=" + WRONG + " forgotten=" + FORGOTTEN + " thrown=" + THROWN + " twice=" + TWICE);
        System.exit(0);
    }
}
