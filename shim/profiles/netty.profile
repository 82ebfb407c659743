# Netty 4.1 and 4.2, also in shaded copies: every ByteBuf that has a count of its own, pooled or
# not, derived, composite. Netty's classes are rewritten as they load into a Java virtual machine
# (HotSpot), so there are no functions to name here.

class netty-bytebuf
    library libjvm.so*
    own io.netty* *.io.netty* reactor.* org.reactivestreams* io.reactivex* io.vertx* io.grpc* com.linecorp.armeria* io.micronaut* com.netflix.zuul* com.netflix.netty* org.littleshoot* io.lettuce* io.rsocket* ratpack.* org.mockserver* rx.* org.springframework* io.micrometer* io.opentelemetry* java.* javax.* jdk.* sun.* com.sun.* kotlin.* kotlinx.* scala.*
    bytecode
    end zero
