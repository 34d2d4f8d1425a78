;; SPDX-License-Identifier: MIT
;;
;; Compiles modules in a thread, and has children that collect:
;; guile -q --no-auto-compile guile-compile.scm DIRECTORY MODULES THREADS
;; Writes the modules to DIRECTORY first. Prints checksums only. With more threads than
;; one guile 3.0.8 crashes by itself, about one run in fifty: a thread that collects
;; gives back another one's stack ("madvise failed") while that one makes it larger.
(use-modules (system base compile) (ice-9 threads) (srfi srfi-1))

(define directory (cadr (command-line)))
(define modules (string->number (caddr (command-line))))
(define threads (string->number (cadddr (command-line))))

(define (source i)
  (string-append directory "/module-" (number->string i) ".scm"))

;; Loops, closures, pattern matching by macros: what the compiler works on.
(define (write-module i)
  (call-with-output-file (source i)
    (lambda (port)
      (write `(define-syntax swap! (syntax-rules () ((_ a b) (let ((t a)) (set! a b) (set! b t))))) port)
      (do ((k 0 (+ k 1))) ((= k 60))
        (let ((name (string->symbol (string-append "f" (number->string k)))))
          (write `(define (,name x l)
                    (let loop ((i x) (a ,k) (b ,(* k i)) (out '()))
                      (cond ((> i ,(+ k 10)) (reverse out))
                            ((assv i l) => (lambda (p) (loop (+ i 1) b a (cons (cdr p) out))))
                            ((even? i) (swap! a b) (loop (+ i 1) a b (cons (lambda (y) (+ y a b)) out)))
                            (else (call-with-values (lambda () (values (quotient i 3) (remainder i 3)))
                                    (lambda (q r)
                                      (loop (+ i 1) (+ a q) (* b r)
                                            (cons (map (lambda (z) (if (pair? z) (car z) (list z a))) l) out))))))))
                 port)))
      (write '(length (f3 1 '((1 . 2) (4 . 5)))) port))))

(define (compile-one i)
  (let ((out (string-append directory "/module-" (number->string i) ".go")))
    (compile-file (source i) #:output-file out #:env (make-fresh-user-module))
    out))

;; A child collects, too, and its parent goes on.
(define (child i)
  (let ((pid (primitive-fork)))
    (when (zero? pid)
      (let ((all (iota 40000)))
        (do ((k 0 (+ k 1))) ((= k 20)) (set! all (map (lambda (x) (+ x 1)) all)))
        (primitive-_exit (if (= (car all) 20) 0 1))))
    (cdr (waitpid pid))))

(for-each write-module (iota modules))
(display (map load-compiled (n-par-map threads compile-one (iota modules))))
(newline)
(display (map child (iota 4)))
(newline)
