package gateway;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.gateway.route.RouteLocator;
import org.springframework.cloud.gateway.route.builder.RouteLocatorBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;

/** A gateway with one route and two filters of ours. */
@SpringBootApplication(proxyBeanMethods = false)
public class Gateway {
    public static void main(String[] args) throws java.io.IOException {
        ConfigurableApplicationContext context = SpringApplication.run(Gateway.class, args);
        if (context.getEnvironment().getProperty("stop-at-end-of-input", Boolean.class, false)) {
            while (System.in.read() >= 0) {
                // until the end
            }
            System.exit(SpringApplication.exit(context));
        }
    }

    @Bean
    RouteLocator routes(RouteLocatorBuilder builder, @Value("${backend}") String backend) {
        return builder.routes().route("all", route -> route.path("/**").uri(backend)).build();
    }

    @Bean
    CacheBodyFilter cacheBodyFilter(@Value("${fixed:false}") boolean fixed) {
        return new CacheBodyFilter(fixed);
    }

    @Bean
    CountBodyFilter countBodyFilter() {
        return new CountBodyFilter();
    }
}
