package gateway;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.gateway.route.RouteLocator;
import org.springframework.cloud.gateway.route.builder.RouteLocatorBuilder;
import org.springframework.context.annotation.Bean;

/** A gateway with one route and two filters of ours. */
@SpringBootApplication(proxyBeanMethods = false)
public class Gateway {
    public static void main(String[] args) {
        SpringApplication.run(Gateway.class, args);
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
