package other.netty.buffer;

/** Has the name of Netty's class, and counts in its own way. */
public class AbstractReferenceCountedByteBuf {
    private int count = 1;

    public AbstractReferenceCountedByteBuf retain() {
        count++;
        return this;
    }

    public boolean release() {
        return --count == 0;
    }

    public int count() {
        return count;
    }
}
