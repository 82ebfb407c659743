package gw;

import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.*;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.*;
import io.netty.handler.timeout.ReadTimeoutException;
import io.netty.handler.timeout.ReadTimeoutHandler;
import java.net.InetSocketAddress;
import java.nio.channels.spi.SelectorProvider;
import java.util.Scanner;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The backend, which sends back what it gets, and the clients. Says the backend's port; a line
 * "PORT REQUESTS CONNECTIONS BYTES" on stdin sends so many requests and says how they were answered.
 * A server that has no memory left may neither answer nor close the connection.
 *
 * With -Dgw.poll=true the thread never sleeps: what its peer then pays for a message does not depend
 * on whether it had to be woken.
 */
public final class Load {
    private static final int BODY_MAX = 1 << 20;
    private static final int PATIENCE_SECONDS = Integer.getInteger("gw.patience", 60);

    public static void main(String[] args) throws Exception {
        EventLoopGroup group = Boolean.getBoolean("gw.poll")
            ? new NioEventLoopGroup(1, (Executor) null, SelectorProvider.provider(),
                                    () -> (look, hasTasks) -> look.get())
            : new NioEventLoopGroup(1);
        Channel backend = new ServerBootstrap()
            .group(group)
            .channel(NioServerSocketChannel.class)
            .childHandler(new ChannelInitializer<Channel>() {
                @Override
                protected void initChannel(Channel channel) {
                    channel.pipeline().addLast(new HttpServerCodec(), new HttpObjectAggregator(BODY_MAX),
                                               new Echo());
                }
            })
            .bind("127.0.0.1", 0).sync().channel();
        System.out.println("port " + ((InetSocketAddress) backend.localAddress()).getPort());
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextInt())
            new Clients(group, lines.nextInt(), lines.nextLong(), lines.nextInt(), lines.nextInt()).run();
        group.shutdownGracefully(0, 5, java.util.concurrent.TimeUnit.SECONDS).sync();
    }

    private static final class Echo extends SimpleChannelInboundHandler<FullHttpRequest> {
        @Override
        protected void channelRead0(ChannelHandlerContext context, FullHttpRequest request) {
            DefaultFullHttpResponse answer = new DefaultFullHttpResponse(
                HttpVersion.HTTP_1_1, HttpResponseStatus.OK, request.content().retain());
            answer.headers().setInt(HttpHeaderNames.CONTENT_LENGTH, request.content().readableBytes());
            context.writeAndFlush(answer);
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            context.close();
        }
    }

    /** Requests over some connections, each waiting for its answer before the next. */
    private static final class Clients {
        private final EventLoopGroup group;
        private final int port;
        private final int connections;
        private final ByteBuf body;
        private final AtomicLong left;
        private final AtomicLong right = new AtomicLong();
        private final AtomicLong refused = new AtomicLong();
        private final AtomicLong wrong = new AtomicLong();
        private final AtomicLong unanswered = new AtomicLong();
        private final CountDownLatch ended;

        Clients(EventLoopGroup group, int port, long requests, int connections, int bytes) {
            this.group = group;
            this.port = port;
            this.connections = connections;
            this.left = new AtomicLong(requests);
            this.ended = new CountDownLatch(connections);
            ByteBuf text = Unpooled.directBuffer(bytes);
            for (int i = 0; i < bytes; i++)
                text.writeByte('a' + i % 26);
            this.body = Unpooled.unreleasableBuffer(text);
        }

        void run() throws InterruptedException {
            Bootstrap client = new Bootstrap().group(group).channel(NioSocketChannel.class).handler(
                new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel channel) {
                        channel.pipeline().addLast(new ReadTimeoutHandler(PATIENCE_SECONDS),
                                                   new HttpClientCodec(),
                                                   new HttpObjectAggregator(BODY_MAX), new Client());
                    }
                });
            for (int i = 0; i < connections; i++)
                client.connect("127.0.0.1", port).addListener((ChannelFuture connected) -> {
                    if (!connected.isSuccess())
                        ended.countDown();
                });
            ended.await();
            System.out.println("right=" + right + " refused=" + refused + " wrong=" + wrong
                               + " unanswered=" + unanswered);
        }

        private final class Client extends SimpleChannelInboundHandler<FullHttpResponse> {
            private void next(ChannelHandlerContext context) {
                if (left.decrementAndGet() < 0) {
                    context.close();
                    return;
                }
                DefaultFullHttpRequest request = new DefaultFullHttpRequest(
                    HttpVersion.HTTP_1_1, HttpMethod.POST, "/", body.duplicate());
                request.headers().set(HttpHeaderNames.HOST, "localhost");
                request.headers().setInt(HttpHeaderNames.CONTENT_LENGTH, body.readableBytes());
                context.writeAndFlush(request);
            }

            @Override
            public void channelActive(ChannelHandlerContext context) {
                next(context);
            }

            @Override
            protected void channelRead0(ChannelHandlerContext context, FullHttpResponse response) {
                if (response.status().code() == 422)
                    refused.incrementAndGet();
                else if (response.status().code() == 200 && response.content().equals(body))
                    right.incrementAndGet();
                else
                    wrong.incrementAndGet();
                next(context);
            }

            @Override
            public void channelInactive(ChannelHandlerContext context) {
                ended.countDown();
            }

            @Override
            public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
                (cause instanceof ReadTimeoutException ? unanswered : wrong).incrementAndGet();
                context.close();
            }
        }
    }
}
