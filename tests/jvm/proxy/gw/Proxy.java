package gw;

import gw.filters.*;
import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.*;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.*;
import java.net.InetSocketAddress;
import java.util.concurrent.atomic.AtomicLong;

/**
 * An HTTP proxy on plain Netty: ten filters, one connection to the backend for each client's.
 * Says its port on stdout; a line on stdin makes it say what it has counted, the end of stdin ends it.
 */
public final class Proxy {
    private static final int BODY_MAX = 1 << 20;
    private static final AtomicLong REQUESTS = new AtomicLong();
    private static final Filter[] FILTERS = {
        new HeaderFilter(), new TraceFilter(), new LogFilter(), new CacheBodyFilter(),
        new ChecksumFilter(), new QuotaFilter(), new AuditFilter(), new RewriteFilter(),
        new SessionFilter(), new LimitFilter(),
    };

    public static void main(String[] args) throws Exception {
        int backend = Integer.parseInt(args[0]);
        int threads = Integer.getInteger("gw.threads", 2);
        EventLoopGroup group = new NioEventLoopGroup(threads);
        Channel server = new ServerBootstrap()
            .group(group)
            .channel(NioServerSocketChannel.class)
            .childHandler(new ChannelInitializer<Channel>() {
                @Override
                protected void initChannel(Channel channel) {
                    channel.pipeline().addLast(new HttpServerCodec(), new HttpObjectAggregator(BODY_MAX),
                                               new Front(backend));
                }
            })
            .bind("127.0.0.1", 0).sync().channel();
        System.out.println("port " + ((InetSocketAddress) server.localAddress()).getPort());
        while (System.in.read() >= 0)
            System.out.println("requests=" + REQUESTS + " " + Planted.counts());
        server.close().sync();
        group.shutdownGracefully(0, 5, java.util.concurrent.TimeUnit.SECONDS).sync();
    }

    /** The client's side of a pair of connections. */
    private static final class Front extends SimpleChannelInboundHandler<FullHttpRequest> {
        private final int backendPort;
        private ChannelFuture backend;

        Front(int backendPort) {
            this.backendPort = backendPort;
        }

        @Override
        public void channelActive(ChannelHandlerContext context) {
            Channel front = context.channel();
            backend = new Bootstrap()
                .group(front.eventLoop())
                .channel(NioSocketChannel.class)
                .handler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel channel) {
                        channel.pipeline().addLast(new HttpClientCodec(),
                                                   new HttpObjectAggregator(BODY_MAX), new Back(front));
                    }
                })
                .connect("127.0.0.1", backendPort);
        }

        @Override
        protected void channelRead0(ChannelHandlerContext context, FullHttpRequest request) {
            Exchange exchange = new Exchange(request, REQUESTS.incrementAndGet());
            try {
                for (Filter filter : FILTERS)
                    filter.apply(exchange);
            } catch (IllegalArgumentException e) {
                DefaultFullHttpResponse refusal = new DefaultFullHttpResponse(
                    HttpVersion.HTTP_1_1, HttpResponseStatus.UNPROCESSABLE_ENTITY);
                refusal.headers().setInt(HttpHeaderNames.CONTENT_LENGTH, 0);
                context.writeAndFlush(refusal);
                return;
            }
            FullHttpRequest forwarded = request.retain();
            backend.addListener((ChannelFuture connected) -> {
                if (connected.isSuccess())
                    connected.channel().writeAndFlush(forwarded);
                else
                    forwarded.release();
            });
        }

        @Override
        public void channelInactive(ChannelHandlerContext context) {
            backend.channel().close();
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            context.close();
        }
    }

    /** The backend's side. */
    private static final class Back extends SimpleChannelInboundHandler<FullHttpResponse> {
        private final Channel front;

        Back(Channel front) {
            this.front = front;
        }

        @Override
        protected void channelRead0(ChannelHandlerContext context, FullHttpResponse response) {
            front.writeAndFlush(response.retain());
        }

        @Override
        public void channelInactive(ChannelHandlerContext context) {
            front.close();
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            context.close();
        }
    }
}
