package agent;

import other.netty.buffer.AbstractReferenceCountedByteBuf;

public final class OtherShape {
    public static void main(String[] args) {
        AbstractReferenceCountedByteBuf buffer = new AbstractReferenceCountedByteBuf();
        buffer.retain().release();
        System.out.println("count " + buffer.count());
    }
}
