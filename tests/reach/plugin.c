/* A library that holds what it is given. */
static void *volatile kept;
static __thread void *volatile kept_in_tls;

void plugin_keep(void *p);
void plugin_keep_tls(void *p);

void plugin_keep(void *p)
{
    kept = p;
}

void plugin_keep_tls(void *p)
{
    kept_in_tls = p;
}
