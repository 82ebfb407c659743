/** A program in a module of its own, as Netty 4.2 is. */
module deployed {
    requires io.netty.buffer;
}
