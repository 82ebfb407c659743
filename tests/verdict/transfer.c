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

/* ---- handles in a multi handle, a form, a copied address ---- */

static void request_in_multi(long number)
{
    CURLM *multi = curl_multi_init();
    CURL *first = curl_easy_init();
    CURL *second = curl_easy_duphandle(first); /* @copied */
    curl_mime *form = curl_mime_init(second);  /* @form */
    curl_mime_name(curl_mime_addpart(form), "field");
    curl_easy_setopt(second, CURLOPT_MIMEPOST, form);
    CORPUS_NEED(curl_multi_add_handle(multi, first) == CURLM_OK);
    CORPUS_NEED(curl_multi_add_handle(multi, second) == CURLM_OK);
    CURLU *address = curl_url();
    curl_url_set(address, CURLUPART_URL, "http://localhost/", 0);
    CURLU *copy = curl_url_dup(address); /* @address */
    curl_multi_remove_handle(multi, first);
    curl_easy_reset(first);
    curl_easy_cleanup(first);
    curl_multi_remove_handle(multi, second);
    if (number % 2 != 0 || !corpus_is_unlucky(number))
        curl_easy_cleanup(second); /* @copied-end */
    if (number % 2 == 0 || !corpus_is_unlucky(number + 1))
        curl_mime_free(form); /* @form-end */
    if (!corpus_is_unlucky(number + 2))
        curl_url_cleanup(copy); /* @address-end */
    curl_url_cleanup(address);
    curl_multi_cleanup(multi);
}

static void multi(void)
{
    corpus_serve(request_in_multi);
}

static const struct corpus_case cases[] = {
    {"early_return", early_return}, {"headers", headers}, {"multi", multi}};

CORPUS_MAIN(cases)
