; stores.lisp [WORDS [OBJECTS [CHURN]]]: OBJECTS old vectors of WORDS words, and size
; stores of something young, each into a random word of a random one, with CHURN turns of
; a loop that only makes garbage before each. Each page is as likely to be written as any
; other, however large the objects are; what differs is how much else is looked at for it.
; Each part writes a quarter of the objects, and adds up what it overwrites.

(define (argument list n default)
  (cond ((null? list) default)
        ((= n 0) (string->number (car list)))
        (else (argument (cdr list) (- n 1) default))))

(define words (argument args 0 32))
(define quarter (quotient (+ (argument args 1 4096) (- parts 1)) parts))
(define churn (argument args 2 20))

(define heap
  (let ((v (make-vector (* parts quarter))))
    (let loop ((i 0))
      (if (= i (* parts quarter))
          v
          (begin (vector-set! v i (make-vector words 0))
                 (loop (+ i 1)))))))

(define (waste n last)
  (if (= n 0)
      last
      (waste (- n 1) (list n n))))

(define (replace! v i new)
  (let ((old (vector-ref v i)))
    (vector-set! v i new)
    (if (pair? old) (car old) old)))

(define (part n)
  (let loop ((i (quotient size parts)) (sum 0))
    (if (= i 0)
        sum
        (begin
          (waste churn '())
          (loop (- i 1)
                (+ sum (replace! (vector-ref heap (+ (* n quarter) (random quarter)))
                                 (random words) (list i))))))))
