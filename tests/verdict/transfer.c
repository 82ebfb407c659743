/* libcurl: handles, lists of headers, addresses. Nothing is sent. */
#include "corpus.h"

#include <curl/curl.h>

static void request_with_handle(long number)
{
    CURL *handle = curl_easy_init(); /* @easy */
    if (curl_easy_setopt(handle, CURLOPT_URL, "http://localhost/") != CURLE_OK ||
        corpus_is_unlucky(number))
        return;
    curl_easy_cleanup(handle); /* @easy-end */
}

static void early_return(void)
{
    corpus_serve(request_with_handle);
}

static void request_with_headers(long number)
{
    CURL *handle = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: */*"); /* @headers */
    headers = curl_slist_append(headers, "Host: localhost");
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_cleanup(handle);
    if (!corpus_is_unlucky(number))
        curl_slist_free_all(headers); /* @headers-end */
}

static void headers(void)
{
    corpus_serve(request_with_headers);
}

static const struct corpus_case cases[] = {{"early_return", early_return}, {"headers", headers}};

CORPUS_MAIN(cases)
