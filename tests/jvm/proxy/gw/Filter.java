package gw;

/** One step of what the proxy does with a request before it passes it on. */
public interface Filter {
    void apply(Exchange exchange);
}
