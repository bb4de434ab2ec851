/*
 * empty: the least that a FastCGI application on libfcgi can do, to compare
 * jobq-api with. As many processes and threads as the plain pool has, on one
 * socket; each request is read to its end and answered with the same 300 bytes.
 *
 * usage: empty SOCKET PROCESSES THREADS
 */
#include "config.h"

#include <fcgiapp.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define BACKLOG 4096
#define STACK_BYTES (256 * 1024)
#define BODY_BYTES 300

static char answer[512];
static int answer_len;
static int listener;

static void make_answer(void)
{
	char body[BODY_BYTES + 1];
	int len = snprintf(body, sizeof(body), "{\"success\":true,\"padding\":\"");

	memset(body + len, 'x', sizeof(body) - (size_t)len);
	memcpy(body + BODY_BYTES - 2, "\"}", 3);
	answer_len = snprintf(answer, sizeof(answer),
			      "Status: 200 OK\r\nContent-Type: application/json\r\n"
			      "Content-Length: %d\r\n\r\n%s", BODY_BYTES, body);
}

static void *serve(void *unused)
{
	char body[4096];
	FCGX_Request request;

	(void)unused;
	FCGX_InitRequest(&request, listener, 0);
	while (FCGX_Accept_r(&request) >= 0) {
		while (FCGX_GetStr(body, sizeof(body), request.in) == (int)sizeof(body))
			;
		FCGX_PutStr(answer, answer_len, request.out);
		FCGX_Finish_r(&request);
	}
	return NULL;
}

static void run(unsigned threads)
{
	pthread_attr_t attr;
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (FCGX_Init() != 0)
		exit(1);
	signal(SIGTERM, SIG_DFL); /* libfcgi has taken it */
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (unsigned i = 0; i < threads; i++) {
		if (pthread_create(&thread, &attr, serve, NULL) != 0) {
			perror("empty: pthread_create");
			exit(1);
		}
	}
	pthread_join(thread, NULL);
	exit(1);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: empty SOCKET PROCESSES THREADS\n");
		return 2;
	}
	long processes = strtol(argv[2], NULL, 10), threads = strtol(argv[3], NULL, 10);

	make_answer();
	listener = FCGX_OpenSocket(argv[1], BACKLOG);
	if (listener < 0 || processes < 1 || threads < 1 || threads > INT_MAX) {
		fprintf(stderr, "empty: no socket, or nobody to serve it\n");
		return 1;
	}
	for (long i = 0; i < processes; i++)
		if (fork() == 0)
			run((unsigned)threads);
	pause(); /* the default action of SIGTERM ends this process, and that the others */
	return 0;
}
