package meddler;

import java.lang.instrument.Instrumentation;
import java.util.concurrent.atomic.AtomicInteger;
import net.bytebuddy.agent.builder.AgentBuilder;
import net.bytebuddy.asm.Advice;
import net.bytebuddy.matcher.ElementMatchers;

/**
 * An agent as monitoring products are: it puts code of its own into Netty's counting class when it
 * loads, and a second time when it is there.
 */
public final class Meddler {
    private static final String COUNTING = "io.netty.buffer.AbstractReferenceCountedByteBuf";

    public static final class Watch {
        @Advice.OnMethodEnter
        static int enter() {
            return 1;
        }

        @Advice.OnMethodExit(onThrowable = Throwable.class)
        static void leave(@Advice.Enter int entered) {
            if (entered != 1)
                throw new IllegalStateException("the other agent's code is in the way");
        }
    }

    public static void premain(String arguments, Instrumentation machine) throws Exception {
        AtomicInteger transformed = new AtomicInteger();
        new AgentBuilder.Default()
            .disableClassFormatChanges()
            .with(AgentBuilder.RedefinitionStrategy.RETRANSFORMATION)
            .type(ElementMatchers.named(COUNTING))
            .transform((builder, type, loader, module, domain) -> {
                transformed.incrementAndGet();
                return builder.visit(Advice.to(Watch.class).on(ElementMatchers.named("retain")
                    .or(ElementMatchers.named("release"))));
            })
            .installOn(machine);
        machine.retransformClasses(Class.forName(COUNTING, true, ClassLoader.getSystemClassLoader()));
        if (transformed.get() == 2)
            System.out.println("transformed AbstractReferenceCountedByteBuf, and again");
    }
}
